"""Exact duplicates: rendered once, verified before reuse, a post of its own each."""

import pytest

from domain.moderation import BlockedHash
from domain.renditions import object_key
from schemas.events import Focus
from tests.fresh import fresh_id
from tests.upload_scene import UPLOADS, UploadScene, keys, phash_of, sha256

PHOTO = b"one and the same"


async def test_ones_own_duplicate_is_another_post_over_the_same_objects() -> None:
    scene, user_id = UploadScene(), fresh_id("u_")
    first = await scene.published(await scene.uploaded(PHOTO, user_id))
    second = await scene.published(await scene.uploaded(PHOTO, user_id))
    assert len(scene.decoder.asked) == 1
    assert first.photo_id != second.photo_id
    assert first.variants == second.variants
    assert scene.media() == keys(first)
    for variant in first.variants:
        holders = scene.refs.holders[user_id, variant.hash]
        assert holders == {first.photo_id, second.photo_id}


async def test_somebody_else_s_bytes_are_copied_under_the_own_prefix() -> None:
    scene = UploadScene()
    first = await scene.published(await scene.uploaded(PHOTO))
    second = await scene.published(await scene.uploaded(PHOTO))
    assert len(scene.decoder.asked) == 1
    assert keys(first).isdisjoint(keys(second))
    assert scene.media() == keys(first) | keys(second)
    for key in keys(first):
        await scene.objects.delete(UPLOADS.media_bucket, key)
    third = await scene.published(await scene.uploaded(PHOTO))
    assert keys(second) | keys(third) == scene.media()
    assert len(scene.decoder.asked) == 1


@pytest.mark.parametrize("says", [True, None])
async def test_a_false_positive_merges_no_photos(says: bool | None) -> None:
    scene = UploadScene(says)
    first = await scene.published(await scene.uploaded(PHOTO))
    second = await scene.published(await scene.uploaded(b"another"))
    assert len(scene.decoder.asked) == 2
    assert (first.sha256, second.sha256) == (sha256(PHOTO), sha256(b"another"))
    assert not {each.hash for each in first.variants} & {each.hash for each in second.variants}


async def test_what_the_filter_denies_is_rendered_again() -> None:
    scene = UploadScene(says=False)
    await scene.published(await scene.uploaded(PHOTO))
    await scene.published(await scene.uploaded(PHOTO))
    assert len(scene.decoder.asked) == 2


@pytest.mark.parametrize("damage", [None, b"rotten"])
async def test_objects_that_are_lost_or_damaged_are_not_reused(damage: bytes | None) -> None:
    scene = UploadScene(says=True)
    first = await scene.published(await scene.uploaded(PHOTO))
    key = object_key(first.user_id, first.variants[1].hash)
    if damage is None:
        await scene.objects.delete(UPLOADS.media_bucket, key)
    else:
        await scene.objects.put(UPLOADS.media_bucket, key, damage, "image/jpeg")
    second = await scene.published(await scene.uploaded(PHOTO))
    assert len(scene.decoder.asked) == 2
    assert keys(second) <= scene.media()


async def test_another_focus_or_type_is_rendered_by_itself() -> None:
    scene = UploadScene(says=True)
    await scene.published(await scene.uploaded(PHOTO))
    await scene.published(await scene.uploaded(PHOTO, focus=Focus(0.1, 0.2)))
    await scene.published(await scene.uploaded(PHOTO, content_type="image/png"))
    await scene.published(await scene.uploaded(PHOTO))
    assert [(kind, focus) for _, kind, focus in scene.decoder.asked] == [
        ("image/jpeg", None),
        ("image/jpeg", (0.1, 0.2)),
        ("image/png", None),
    ]


async def test_a_duplicate_of_what_was_blocked_since_is_blocked() -> None:
    scene = UploadScene(says=True)
    first = await scene.published(await scene.uploaded(PHOTO))
    await scene.blocklist.add([BlockedHash(phash_of(PHOTO), "a list", "abuse", 1)])
    told = await scene.rejected(await scene.uploaded(PHOTO))
    assert told.reason == "blocked"
    assert scene.media() == keys(first)

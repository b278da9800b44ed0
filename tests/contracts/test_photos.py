"""The contract of `Photos`, on Cassandra and on its twin."""

import asyncio
from dataclasses import replace

import pytest

from domain.entities import Cursor, Delivery, FanOut, Photo, PhotoStatus
from domain.errors import Reason, Unrecoverable
from domain.photo_states import DELETED_VERSION
from domain.ports.photos import Photos
from schemas.events import Focus, Location, VariantRef
from stores.cassandra_photos import CassandraPhotos
from stores.connect import Stores
from stores.memory.cassandra import MemoryPhotos
from tests.fresh import fresh_id, now_ms

VARIANTS = (
    VariantRef("thumbnail", "ab" * 32, 150, 150, 9_000),
    VariantRef("feed", "cd" * 32, 640, 480, 70_000),
)


@pytest.fixture(params=["memory", "cassandra"])
def photos(request: pytest.FixtureRequest) -> Photos:
    if request.param == "memory":
        return MemoryPhotos()
    stores: Stores = request.getfixturevalue("stores")
    return stores.photos


def awaited(user_id: str | None = None) -> Photo:
    photo_id = fresh_id("ph_")
    return Photo(
        photo_id=photo_id,
        user_id=user_id or fresh_id("u_"),
        status=PhotoStatus.AWAITING_UPLOAD,
        filename="IMG 1 'ü'.HEIC",
        content_type="image/heic",
        size_bytes=49_999_999,
        object_key=f"u/{photo_id}",
        caption="Abend; am See 🌅 -- '",
        tags=("sunset", "see"),
        alt_text="a lake",
        location=Location(36.27, -121.81),
        focus=Focus(0.25, 1.0),
        sha256="0f" * 32,
        expires_at=1_790_000_000_000,
    )


def processed(photo: Photo) -> Photo:
    return replace(
        photo,
        width=4032,
        height=3024,
        placeholder="1QcSHQRnh493V4dIh4eXh1h4kJUI",
        variants=VARIANTS,
    )


async def posted(photos: Photos, user_id: str, at: int) -> Photo:
    photo = awaited(user_id)
    await photos.add(photo)
    post = await photos.publish(processed(photo), at)
    assert post is not None
    return post


async def test_an_added_photo_is_read_back_whole(photos: Photos) -> None:
    photo = awaited()
    assert await photos.get(photo.photo_id) is None
    await photos.add(photo)
    assert await photos.get(photo.photo_id) == photo


async def test_a_photo_without_the_optional_words_is_read_back(photos: Photos) -> None:
    photo = replace(
        awaited(), caption="", tags=(), alt_text="", location=None, focus=None, sha256=None
    )
    await photos.add(photo)
    assert await photos.get(photo.photo_id) == photo


async def test_the_equator_is_a_place(photos: Photos) -> None:
    photo = replace(awaited(), location=Location(0.0, 0.0), focus=Focus(0.0, 0.0))
    await photos.add(photo)
    assert await photos.get(photo.photo_id) == photo


async def test_add_never_overwrites_a_later_state(photos: Photos) -> None:
    photo = awaited()
    await photos.add(photo)
    await photos.mark_processing(replace(photo, caption="later words", location=None))
    await photos.add(photo)
    stored = await photos.get(photo.photo_id)
    assert stored == replace(
        photo, status=PhotoStatus.PROCESSING, caption="later words", location=None, version=1
    )


async def test_an_id_of_another_person_is_refused(photos: Photos) -> None:
    photo = awaited()
    await photos.add(photo)
    with pytest.raises(Unrecoverable):
        await photos.add(replace(photo, user_id=fresh_id("u_")))


async def test_get_many_gives_those_that_exist(photos: Photos) -> None:
    first, second = awaited(), awaited()
    await photos.add(first)
    await photos.add(second)
    ids = [second.photo_id, fresh_id("ph_"), first.photo_id]
    assert await photos.get_many(ids) == {p.photo_id: p for p in (first, second)}
    assert await photos.get_many([]) == {}


async def test_publish_returns_what_is_stored_and_repeats_it(photos: Photos) -> None:
    photo, now = awaited(), now_ms()
    await photos.add(photo)
    await photos.mark_processing(photo)
    post = await photos.publish(processed(photo), now)
    assert post == await photos.get(photo.photo_id)
    assert post == replace(
        processed(photo), status=PhotoStatus.PUBLISHED, published_at=now, version=2
    )
    assert await photos.publish(processed(photo), now + 5) == post


async def test_publish_before_the_processing_mark_wins_over_it(photos: Photos) -> None:
    photo = awaited()
    await photos.add(photo)
    post = await photos.publish(processed(photo), now_ms())
    await photos.mark_processing(photo)
    assert await photos.get(photo.photo_id) == post


async def test_publishing_from_many_sides_claims_one_time(photos: Photos) -> None:
    photo, now = awaited(), now_ms()
    await photos.add(photo)
    posts = await asyncio.gather(*(photos.publish(processed(photo), now + n) for n in range(5)))
    assert len({post.published_at for post in posts if post}) == 1
    assert None not in posts
    assert len(await photos.by_user(photo.user_id, None, 10)) == 1


async def test_a_rejected_photo_is_never_published(photos: Photos) -> None:
    photo = awaited()
    await photos.add(photo)
    assert await photos.reject(photo.photo_id, "not_an_image")
    assert await photos.reject(photo.photo_id, "blocked")  # still rejected, for the first reason
    assert await photos.publish(processed(photo), now_ms()) is None
    stored = await photos.get(photo.photo_id)
    assert stored is not None
    assert (stored.status, stored.reason) == (PhotoStatus.REJECTED, "not_an_image")
    assert await photos.by_user(photo.user_id, None, 10) == []


@pytest.mark.parametrize("reason", ["expired", "given_up"])
async def test_what_was_accepted_neither_expires_nor_is_given_up(
    photos: Photos, reason: str
) -> None:
    photo = awaited()
    await photos.add(photo)
    await photos.mark_processing(photo)
    assert not await photos.reject(photo.photo_id, reason)
    stored = await photos.get(photo.photo_id)
    assert stored is not None
    assert stored.status is PhotoStatus.PROCESSING


async def test_a_published_photo_is_not_rejected(photos: Photos) -> None:
    post = await posted(photos, fresh_id("u_"), now_ms())
    assert not await photos.reject(post.photo_id, "late")
    assert await photos.get(post.photo_id) == post


async def test_a_revision_is_one_version_newer_and_none_when_nothing_changes(
    photos: Photos,
) -> None:
    post = await posted(photos, fresh_id("u_"), now_ms())
    new = await photos.revise(post.photo_id, lambda row: replace(row, caption="new"))
    assert new == replace(post, caption="new", version=post.version + 1)
    assert await photos.revise(post.photo_id, lambda row: replace(row, caption="new")) == new
    assert await photos.get(post.photo_id) == new
    assert len(await photos.by_user(post.user_id, None, 5)) == 1
    awaited_ = awaited()
    await photos.add(awaited_)
    assert await photos.revise(awaited_.photo_id, lambda row: replace(row, caption="x")) is None


PUSH, PULL = FanOut(Delivery.PUSH, "e1", 5), FanOut(Delivery.PULL, "e2", 6)


async def test_the_first_decision_about_a_post_stands_whatever_changes(photos: Photos) -> None:
    post = await posted(photos, fresh_id("u_"), now_ms())
    assert post.fan_out is None
    assert await photos.decide(post.photo_id, PULL) == PULL
    assert await photos.get(post.photo_id) == replace(post, fan_out=PULL)
    new = await photos.revise(post.photo_id, lambda row: replace(row, caption="new"))
    assert new == replace(post, caption="new", version=post.version + 1, fan_out=PULL)
    assert await photos.decide(post.photo_id, PUSH) == PULL
    assert (await photos.get_many([post.photo_id]))[post.photo_id].fan_out == PULL


async def test_decisions_and_edits_from_many_sides_give_one_decision(photos: Photos) -> None:
    post = await posted(photos, fresh_id("u_"), now_ms())
    wanted = [FanOut(Delivery.PUSH, f"e{n}", n) for n in range(4)]
    *decisions, _ = await asyncio.gather(
        *(photos.decide(post.photo_id, each) for each in wanted),
        photos.revise(post.photo_id, lambda row: replace(row, caption="new")),
    )
    assert len(set(decisions)) == 1
    assert decisions[0] in wanted


async def test_nothing_is_decided_about_what_is_not_a_live_post(photos: Photos) -> None:
    photo = awaited()
    await photos.add(photo)
    assert await photos.decide(photo.photo_id, PUSH) is None
    post = await posted(photos, fresh_id("u_"), now_ms())
    await photos.decide(post.photo_id, PUSH)
    await photos.delete(post.photo_id)
    assert await photos.decide(post.photo_id, PUSH) is None
    with pytest.raises(Unrecoverable) as raised:
        await photos.decide(fresh_id("ph_"), PUSH)
    assert raised.value.reason is Reason.UNKNOWN_POST


async def test_a_deleted_post_is_a_tombstone_that_no_step_changes(photos: Photos) -> None:
    user_id = fresh_id("u_")
    photo, kept = awaited(user_id), await posted(photos, user_id, now_ms())
    await photos.add(photo)
    post = await photos.publish(processed(photo), now_ms())
    assert post is not None
    tombstone = await photos.delete(post.photo_id)
    assert (tombstone.status, tombstone.version) == (PhotoStatus.DELETED, DELETED_VERSION)
    assert (tombstone.caption, tombstone.tags, tombstone.location) == ("", (), None)
    assert tombstone.variants == post.variants
    assert await photos.delete(post.photo_id) == tombstone
    assert await photos.publish(processed(photo), now_ms()) is None
    assert await photos.revise(post.photo_id, lambda row: replace(row, caption="x")) is None
    assert not await photos.reject(post.photo_id, "late")
    await photos.mark_processing(photo)
    await photos.add(photo)
    assert await photos.get(post.photo_id) == tombstone
    assert [e.post_id for e in await photos.by_user(user_id, None, 9)] == [kept.photo_id]
    assert await photos.count_by_user(user_id) == 1


async def test_a_scan_finds_every_row(photos: Photos) -> None:
    posts = {(await posted(photos, fresh_id("u_"), now_ms())).photo_id for _ in range(3)}
    assert posts <= {row.photo_id async for row in photos.scan()}


async def test_steps_of_an_unknown_photo_can_never_work(photos: Photos) -> None:
    with pytest.raises(Unrecoverable) as caught:
        await photos.publish(awaited(), now_ms())
    assert caught.value.reason is Reason.UNKNOWN_POST
    with pytest.raises(Unrecoverable):
        await photos.get("ph_'; DROP TABLE")


async def test_pages_by_user_never_skip_or_repeat_even_at_equal_times(photos: Photos) -> None:
    user_id, now = fresh_id("u_"), now_ms()
    times = [now, now + 1, now + 1, now + 1, now + 2, now - 5, now + 1]
    posts = [await posted(photos, user_id, at) for at in times]
    await posted(photos, fresh_id("u_"), now)
    wanted = sorted(((p.published_at or 0, p.photo_id) for p in posts), reverse=True)
    seen: list[tuple[int, str]] = []
    before: Cursor | None = None
    while page := await photos.by_user(user_id, before, 2):
        assert {entry.author_id for entry in page} == {user_id}
        seen += [(entry.published_at, entry.post_id) for entry in page]
        before = Cursor(*seen[-1])
    assert seen == wanted
    assert await photos.count_by_user(user_id) == len(posts)


async def test_somebody_without_posts_has_none(photos: Photos) -> None:
    user_id = fresh_id("u_")
    assert await photos.by_user(user_id, None, 10) == []
    assert await photos.count_by_user(user_id) == 0


# --- what only the real tables have ---------------------------------------------------------------


async def test_deleting_again_repairs_a_lost_tombstone_by_user(stores: Stores) -> None:
    post = await posted(stores.photos, fresh_id("u_"), now_ms())
    # As if the process had died between the two tombstones.
    await stores.cassandra.execute(
        "UPDATE photos SET status = 'deleted', version = ? WHERE photo_id = ? IF version = ?",
        (DELETED_VERSION, post.photo_id, post.version),
    )
    assert len(await stores.photos.by_user(post.user_id, None, 5)) == 1
    await stores.photos.delete(post.photo_id)
    assert await stores.photos.by_user(post.user_id, None, 5) == []


async def test_a_page_fills_past_tombstones_and_a_late_publish_does_not_undo_them(
    stores: Stores,
) -> None:
    user_id, now = fresh_id("u_"), now_ms()
    posts = [await posted(stores.photos, user_id, now + n) for n in range(6)]
    for post in posts[2:]:
        await stores.cassandra.execute(
            "INSERT INTO posts_by_user (user_id, bucket, published_at, post_id, version, deleted)"
            " VALUES (?, 0, ?, ?, ?, true) USING TIMESTAMP ?",
            (user_id, post.published_at, post.photo_id, post.version + 1, post.version + 1),
        )
    await stores.photos.publish(processed(posts[5]), now)  # repairs with its older version
    page = await stores.photos.by_user(user_id, None, 2)
    assert [entry.post_id for entry in page] == [posts[1].photo_id, posts[0].photo_id]
    assert await stores.photos.count_by_user(user_id) == 2


async def test_a_lost_row_by_user_is_repaired_by_publishing_again(stores: Stores) -> None:
    photo, now = awaited(), now_ms()
    await stores.photos.add(photo)
    # As if the process had died between the claim and the row by user.
    await stores.cassandra.execute(
        "UPDATE photos SET status = 'published', published_at = ?, bucket = 0, version = 1"
        " WHERE photo_id = ? IF version = 0",
        (now, photo.photo_id),
    )
    assert await stores.photos.by_user(photo.user_id, None, 5) == []
    await stores.photos.publish(processed(photo), now + 100)
    [entry] = await stores.photos.by_user(photo.user_id, None, 5)
    assert (entry.published_at, entry.post_id) == (now, photo.photo_id)


async def test_the_buckets_of_a_hot_person_are_united_in_order(stores: Stores) -> None:
    user_id, now = fresh_id("u_"), now_ms()
    photos = CassandraPhotos(stores.cassandra)
    first = await posted(photos, user_id, now)
    await photos.flag_hot(user_id, now)
    minute = 60_000
    early = await posted(photos, user_id, now + minute - 1)
    late = [await posted(photos, user_id, now + minute + n) for n in range(12)]
    rows = await stores.cassandra.execute_many(
        "SELECT post_id FROM posts_by_user WHERE user_id = ? AND bucket = ?",
        [(user_id, bucket) for bucket in range(4)],
    )
    buckets = [[row.post_id for row in part] for part in rows]
    assert {first.photo_id, early.photo_id} <= set(buckets[0])
    assert sum(map(bool, buckets)) > 1
    page = await photos.by_user(user_id, None, 20)
    assert [e.post_id for e in page] == [p.photo_id for p in (*reversed(late), early, first)]
    assert await photos.count_by_user(user_id) == 14
    assert await photos.publish(processed(late[0]), now) == late[0]
    assert await photos.count_by_user(user_id) == 14


async def test_ones_own_live_post_is_found_by_its_bytes(photos: Photos) -> None:
    user_id, sha256 = fresh_id("u_"), fresh_id().encode().hex()
    photo = replace(awaited(user_id), sha256=sha256)
    await photos.add(photo)
    assert await photos.own_by_sha256(user_id, sha256) is None
    first = await photos.publish(replace(processed(photo), sha256=sha256), now_ms())
    assert await photos.own_by_sha256(user_id, sha256) == first
    assert await photos.own_by_sha256(fresh_id("u_"), sha256) is None
    assert await photos.own_by_sha256(user_id, sha256[:-2]) is None
    again = replace(awaited(user_id), sha256=sha256)
    await photos.add(again)
    second = await photos.publish(replace(processed(again), sha256=sha256), now_ms() + 1)
    assert await photos.own_by_sha256(user_id, sha256) == second


async def test_only_what_was_blocked_is_restored(photos: Photos) -> None:
    for reason, status in (
        ("blocked", PhotoStatus.PROCESSING),
        ("truncated", PhotoStatus.REJECTED),
    ):
        photo = awaited()
        await photos.add(photo)
        assert await photos.reject(photo.photo_id, reason)
        first = await photos.restore(photo.photo_id)
        assert first.status is status
        assert await photos.restore(photo.photo_id) == first == await photos.get(photo.photo_id)
    deleted = awaited()
    await photos.add(deleted)
    await photos.delete(deleted.photo_id)
    assert (await photos.restore(deleted.photo_id)).status is PhotoStatus.DELETED

"""The contract of `Reactions`, on Cassandra and on its twin."""

import itertools
from typing import TYPE_CHECKING

import pytest

from domain import ids
from domain.entities import Comment, Counts
from domain.errors import Unrecoverable
from domain.ports.reactions import Reactions
from stores.memory.cassandra import MemoryReactions
from tests.fresh import fresh_id, now_ms

if TYPE_CHECKING:
    from stores.connect import Stores

LARGEST = (1 << 63) - 1


@pytest.fixture(params=["memory", "cassandra"])
def reactions(request: pytest.FixtureRequest) -> Reactions:
    if request.param == "memory":
        return MemoryReactions()
    stores: Stores = request.getfixturevalue("stores")
    return stores.reactions


def comment(post_id: str, text: str = "schön! ; '") -> tuple[Comment, int]:
    comment_id = fresh_id("cm_")
    return Comment(comment_id, post_id, fresh_id("u_"), text, now_ms()), ids.read(comment_id)


def deleted(of: Comment) -> Comment:
    return Comment(of.comment_id, of.post_id, of.user_id, of.text, of.created_at, deleted=True)


async def test_a_like_shows_and_an_unlike_takes_it_away(reactions: Reactions) -> None:
    post_id, user_id, version = fresh_id("ph_"), fresh_id("u_"), ids.read(fresh_id())
    assert await reactions.has_liked([post_id], user_id) == set()
    assert await reactions.set_like(post_id, user_id, version, liked=True)
    assert await reactions.has_liked([post_id, fresh_id("ph_")], user_id) == {post_id}
    assert await reactions.likers(post_id) == [user_id]
    assert not await reactions.set_like(post_id, user_id, version + 1, liked=False)
    assert await reactions.has_liked([post_id], user_id) == set()
    assert await reactions.likers(post_id) == []


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
async def test_the_newest_like_wins_in_any_order(
    reactions: Reactions, order: tuple[int, ...]
) -> None:
    post_id, user_id, first = fresh_id("ph_"), fresh_id("u_"), ids.read(fresh_id())
    for n in (*order, *order):
        await reactions.set_like(post_id, user_id, first + n, liked=n != 2)
    assert await reactions.likers(post_id) == [user_id]
    assert await reactions.set_like(post_id, user_id, first, liked=False)  # older: it still likes


async def test_versions_are_small_or_have_63_bits(reactions: Reactions) -> None:
    post_id, user_id = fresh_id("ph_"), fresh_id("u_")
    assert await reactions.set_like(post_id, user_id, 1, liked=True)
    assert not await reactions.set_like(post_id, user_id, LARGEST, liked=False)
    for version in (0, -1, LARGEST + 1):
        with pytest.raises(Unrecoverable):
            await reactions.set_like(post_id, user_id, version, liked=True)


async def test_likers_page_by_user_id_past_those_who_took_it_back(reactions: Reactions) -> None:
    post_id = fresh_id("ph_")
    users = sorted(fresh_id("u_") for _ in range(7))
    for n, user_id in enumerate(users):
        await reactions.set_like(post_id, user_id, 10, liked=n not in {1, 2, 5})
    seen: list[str] = []
    while page := await reactions.likers_page(post_id, seen[-1] if seen else None, 2):
        assert len(page) == 2
        seen += page
    assert seen == [users[n] for n in (0, 3, 4, 6)] == await reactions.likers(post_id)


async def test_a_comment_is_found_by_post_and_by_id(reactions: Reactions) -> None:
    post_id = fresh_id("ph_")
    written, version = comment(post_id)
    await reactions.set_comment(written, version)
    await reactions.set_comment(written, version)
    assert await reactions.get_comment(post_id, written.comment_id) == written
    assert await reactions.comment_post(written.comment_id) == post_id
    assert await reactions.comments_page(post_id, None, 5) == [written]
    assert await reactions.count_comments(post_id) == 1
    assert await reactions.get_comment(post_id, fresh_id("cm_")) is None
    assert await reactions.comment_post(fresh_id("cm_")) is None


@pytest.mark.parametrize("late", [False, True])
async def test_a_deleted_comment_stays_deleted_and_textless(
    reactions: Reactions, late: bool
) -> None:
    post_id = fresh_id("ph_")
    written, version = comment(post_id)
    calls = [(written, version), (deleted(written), version + 1)]
    order = calls[::-1] if late else calls
    for row, at in (*order, *order):
        await reactions.set_comment(row, at)
    stored = await reactions.get_comment(post_id, written.comment_id)
    assert stored is not None
    assert (stored.deleted, stored.text) == (True, "")
    assert await reactions.comment_post(written.comment_id) == post_id
    assert await reactions.comments_page(post_id, None, 5) == []
    assert await reactions.count_comments(post_id) == 0


async def test_comments_page_newest_first_past_tombstones(reactions: Reactions) -> None:
    post_id = fresh_id("ph_")
    written = [comment(post_id, str(n)) for n in range(7)]
    for row, version in written:
        await reactions.set_comment(row, version)
    for row, version in written[2:5]:
        await reactions.set_comment(deleted(row), version + 1)
    seen: list[Comment] = []
    while page := await reactions.comments_page(post_id, seen[-1].comment_id if seen else None, 2):
        assert len(page) == 2
        seen += page
    assert seen == [written[n][0] for n in (6, 5, 1, 0)]
    assert await reactions.count_comments(post_id) == 4


async def test_counts_are_absolute(reactions: Reactions) -> None:
    post_id, other = fresh_id("ph_"), fresh_id("ph_")
    await reactions.put_counts(post_id, Counts(7, 2))
    await reactions.put_counts(post_id, Counts(6, 0))
    await reactions.put_counts(post_id, Counts(6, 0))
    assert await reactions.get_counts([other, post_id]) == {post_id: Counts(6, 0)}

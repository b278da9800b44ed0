"""Likes and comments: absolute counts, whatever comes twice or late."""

from dataclasses import replace

from domain.entities import Counts
from schemas.events import CommentCreated, CommentDeleted, LikeCreated, LikeDeleted
from stores.memory.cassandra import MemoryReactions
from stores.memory.redis import MemoryReactionCache
from streams.count_reactions import CountReactions, Like, Remark
from tests.fresh import fresh_id

POST, AUTHOR = fresh_id("ph_"), fresh_id("u_")
ANA, BEN = fresh_id("u_"), fresh_id("u_")


class Scene:
    """The handler on the twins."""

    def __init__(self) -> None:
        self.reactions, self.cache = MemoryReactions(), MemoryReactionCache()
        self.handle = CountReactions(self.reactions, self.cache)

    async def after(self, *events: Like | Remark) -> Counts:
        """The counts, once they agree everywhere."""
        for event in events:
            await self.handle(event)
        durable = (await self.reactions.get_counts([POST]))[POST]
        [(hot, _)] = await self.cache.get([POST], ANA)
        assert hot in (None, durable)  # nothing is told while nobody's likes are known there
        return durable


def like(user_id: str, version: int = 1) -> LikeCreated:
    return LikeCreated(
        event_id=fresh_id(),
        occurred_at=1,
        version=version,
        post_id=POST,
        user_id=user_id,
        author_id=AUTHOR,
    )


def unlike(user_id: str, version: int) -> LikeDeleted:
    return LikeDeleted(
        event_id=fresh_id(),
        occurred_at=1,
        version=version,
        post_id=POST,
        user_id=user_id,
        author_id=AUTHOR,
    )


def comment(text: str = "fine") -> CommentCreated:
    return CommentCreated(
        event_id=fresh_id(),
        occurred_at=1,
        version=1,
        comment_id=fresh_id("cm_"),
        post_id=POST,
        user_id=ANA,
        author_id=AUTHOR,
        text=text,
    )


def uncomment(of: CommentCreated) -> CommentDeleted:
    return CommentDeleted(
        event_id=fresh_id(),
        occurred_at=2,
        version=2,
        comment_id=of.comment_id,
        post_id=POST,
        user_id=ANA,
        author_id=AUTHOR,
    )


async def test_likes_and_comments_are_counted_beside_each_other() -> None:
    assert await Scene().after(like(ANA), comment(), like(BEN)) == Counts(likes=2, comments=1)


async def test_everything_twice_is_once() -> None:
    events: list[Like | Remark] = [like(ANA), like(BEN), unlike(BEN, 2), comment()]
    assert await Scene().after(*events, *events) == Counts(likes=1, comments=1)


async def test_a_late_like_does_not_bring_back_what_was_taken_away() -> None:
    assert await Scene().after(unlike(ANA, 2), like(ANA, 1)) == Counts()


async def test_a_late_comment_does_not_bring_back_a_deleted_one() -> None:
    made = comment()
    scene = Scene()
    assert await scene.after(uncomment(made), made) == Counts()
    assert await scene.reactions.comments_page(POST, None, 10) == []


async def test_a_cold_set_is_warmed_from_the_durable_likes() -> None:
    scene = Scene()
    await scene.after(like(ANA))
    scene.handle = CountReactions(scene.reactions, fresh := MemoryReactionCache())
    await scene.handle(like(BEN))
    assert await fresh.get([POST], ANA) == [(Counts(likes=2), True)]


async def test_an_edited_time_does_not_matter_versions_do() -> None:
    old = replace(like(ANA), occurred_at=10**6)
    assert await Scene().after(unlike(ANA, 2), old) == Counts()

"""Follower counts follow from the edges, whatever order their events come in."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain import celebrity
from schemas.events import FollowCreated, FollowDeleted
from stores.memory.postgres import MemoryCelebrities
from stores.memory.redis import MemoryFollowCache
from streams.count_follows import CountFollows
from streams.delivery import LiveThreshold

STAR = "u_star"

edges = st.tuples(st.sampled_from("abc"), st.integers(1, 6))
deliveries = st.lists(edges, max_size=40)


def change(follower: str, version: int) -> FollowCreated | FollowDeleted:
    """An edge's odd versions follow, its even ones don't: as the graph writes them."""
    kind = FollowCreated if version % 2 else FollowDeleted
    return kind(
        event_id="0" * 11,
        occurred_at=7,
        version=version,
        follower_id=f"u_{follower}",
        followee_id=STAR,
    )


class Scene:
    """The handler over plain dictionaries."""

    def __init__(self, threshold: int = 3) -> None:
        self.tables: dict[str, dict[str, Any]] = {
            "edges": {},
            "follower_counts": {},
            "celebrities": {},
        }
        self.cache, self.celebrities = MemoryFollowCache(), MemoryCelebrities()
        self.now = 0.0
        self.threshold = threshold
        self.handle = self.restarted()

    def empty_redis(self) -> None:
        """As FLUSHALL does."""
        vars(self.cache).update(vars(MemoryFollowCache()))

    def restarted(self) -> CountFollows:
        """A new process on the same tables."""
        threshold = LiveThreshold(self.celebrities, self.threshold, monotonic=lambda: self.now)
        handler = CountFollows(self.tables, self.cache, self.celebrities, threshold)
        handler.recovered()
        return handler


@given(deliveries, st.sets(st.integers(0, 40)))
async def test_any_order_any_repeat_any_restart_gives_the_count_of_the_newest_versions(
    events: list[tuple[str, int]], crashes: set[int]
) -> None:
    scene = Scene(threshold=100)
    for place, (follower, version) in enumerate([*events, *events]):
        if place in crashes:
            scene.handle = scene.restarted()
        await scene.handle(change(follower, version))
    newest = {follower: max(v for f, v in events if f == follower) for follower, _ in events}
    expected = sum(version % 2 for version in newest.values())
    assert await scene.cache.follower_count(STAR) == (expected if events else None)
    assert scene.tables["follower_counts"].get(STAR, 0) == expected


async def test_a_store_ahead_of_its_count_is_put_right_by_the_event_that_comes_again() -> None:
    scene = Scene()
    scene.tables["edges"][f"{STAR}:u_a"] = [1, True]  # written; the process died behind it
    scene.handle = scene.restarted()
    await scene.handle(change("a", 1))
    assert await scene.cache.follower_count(STAR) == 1


async def test_at_the_threshold_the_flag_is_set_everywhere_and_stays() -> None:
    scene = Scene(threshold=2)
    await scene.handle(change("a", 1))
    assert not await scene.celebrities.is_flagged(STAR)
    await scene.handle(change("b", 1))
    assert await scene.celebrities.flagged() == [(STAR, 2, 7)]
    assert await scene.cache.is_celebrity(STAR) is True
    assert scene.tables["celebrities"] == {STAR: 2}
    await scene.handle(change("b", 2))
    await scene.handle(change("a", 2))
    assert await scene.celebrities.is_flagged(STAR)


async def test_the_mirror_comes_back_after_redis_was_emptied_even_below_the_threshold() -> None:
    scene = Scene(threshold=2)
    for follower in "ab":
        await scene.handle(change(follower, 1))
    for follower in "abc":
        await scene.handle(change(follower, 2))
    scene.empty_redis()
    assert await scene.cache.is_celebrity(STAR) is None
    await scene.handle(change("c", 3))
    assert await scene.cache.is_celebrity(STAR) is True


async def test_what_an_operator_cleared_stays_cleared_below_the_threshold() -> None:
    scene = Scene(threshold=2)
    for follower in "ab":
        await scene.handle(change(follower, 1))
    await scene.celebrities.clear(STAR)
    scene.empty_redis()
    await scene.handle(change("a", 2))
    assert not await scene.celebrities.is_flagged(STAR)
    assert not await scene.cache.is_celebrity(STAR)
    await scene.handle(change("a", 3))
    assert await scene.celebrities.is_flagged(STAR)
    assert await scene.cache.is_celebrity(STAR) is True


async def test_a_clear_that_meets_the_mirroring_leaves_no_flag_anywhere() -> None:
    scene = Scene(threshold=1)
    put = scene.cache.put_celebrity

    async def late(user_id: str, *, flagged: bool) -> None:
        """The mirroring, held up until a clear is through."""
        scene.cache.put_celebrity = put  # type: ignore[method-assign] # this once
        await scene.celebrities.clear(user_id)
        await put(user_id, flagged=False)
        await put(user_id, flagged=flagged)

    scene.cache.put_celebrity = late  # type: ignore[method-assign] # a step made slow
    await scene.handle(change("a", 1))
    assert not await scene.celebrities.is_flagged(STAR)
    assert await scene.cache.is_celebrity(STAR) is False


async def test_the_operators_threshold_counts_within_five_seconds() -> None:
    scene = Scene(threshold=100)
    await scene.handle(change("a", 1))
    await scene.celebrities.set_threshold(1)
    scene.now = 5.1
    await scene.handle(change("a", 1))
    assert await scene.celebrities.is_flagged(STAR)


@given(deliveries)
def test_totals_folded_equal_totals_added_up(events: list[tuple[str, int]]) -> None:
    states: dict[str, celebrity.EdgeState] = {}
    total = 0
    for follower, version in events:
        before = states.get(follower)
        states[follower] = celebrity.newest(before, (version, version % 2 == 1))
        total += celebrity.step(before, states[follower])
    assert celebrity.totals((STAR, state) for state in states.values())[STAR] == total

"""I1, I2: faults planted into real servers are found by the audit, explained, and mended.

With one Redis, and with a cluster.
"""

from collections.abc import AsyncIterator, Sequence
from functools import cached_property

import pytest

from api.feed.facts import facts_of
from api.resilience.breakers import Breakers
from domain.entities import FeedEntry
from domain.feed import member
from domain.feed_audit import FRESH_MS, Fault, Filtered, Why
from domain.feed_explain import Reason, explain
from ops.feed import audit as feed_audit
from ops.feed.audit import Audit, Report, advice
from ops.feed.rebuild import Rebuild, Rebuilt
from ops.feed.rebuild_run import Done, RebuildRun
from ops.feed.sources import everyone
from ops.feed.under_way import UnderWay
from schemas.events import FanoutChunk, PostPublished
from stores import migrate
from stores.connect import Stores
from stores.postgres_pool import PostgresPool
from streams.plan_fan_out import PlanFanOut
from streams.write_feeds import WriteFeeds
from tests.databases import new_database
from tests.feed_world import entry_of, posted, published
from tests.fresh import fresh_id, now_ms
from tests.people import add_people


class Own(Stores):
    """The real adapters over a database of this test's own: an audit looks at everybody in it."""

    dsn = ""

    @cached_property
    def postgres(self) -> PostgresPool:
        pool = PostgresPool(self.dsn)
        self._opened.push_async_callback(pool.close)
        return pool


class Scene:
    """A viewer who follows two of three authors; a minute has passed since they posted."""

    def __init__(self, stores: Own, people: Sequence[str]) -> None:
        self.stores = stores
        self.viewer, self.ann, self.bob, self.stranger = people
        self.since = now_ms() - 2 * FRESH_MS
        self.events: list[PostPublished] = []
        self.plan = PlanFanOut(stores, stores.settings.feed, now_ms)
        self.write = WriteFeeds(stores.follows, stores.timelines, stores.celebrities)

    async def begin(self) -> None:
        for author in (self.ann, self.bob):
            await self.stores.follows.follow(self.viewer, author, fresh_id(), self.since)
        assert (await self.rebuilt()).equal

    async def post(self, author: str) -> FeedEntry:
        """Through its row, its decision and its fan-out."""
        post = await posted(self.stores.photos, author, now_ms() - 2 * FRESH_MS)
        self.events.append(published(post))
        await self.fan_out(self.events[-1])
        return entry_of(post)

    async def fan_out(self, event: PostPublished) -> None:
        emits = await self.plan(event)
        await self.plan.conclude(event, emits)
        for emit in emits:
            assert isinstance(emit.event, FanoutChunk)
            await self.write(emit.event)

    async def audit(self) -> Report:
        async def nothing() -> UnderWay:
            return UnderWay(now_ms())

        return await Audit(self.stores, nothing, self.since).run()

    async def rebuilt(self) -> Rebuilt:
        stores = self.stores
        return await Rebuild(stores, stores.photos, stores.settings.feed.cap)(self.viewer)

    async def reason(self, entry: FeedEntry) -> Reason:
        post = await self.stores.photos.get(entry.post_id)
        assert post is not None
        facts = await facts_of(
            self.stores, self.viewer, post, Breakers(self.stores.settings.degradation)
        )
        return explain(facts, under_way=False).reason

    async def plant(self, entry: FeedEntry) -> None:
        """Straight into the set, past every rule."""
        await self.stores.redis_server.call("ZADD", self.key, entry.published_at, member(entry))

    @property
    def key(self) -> str:
        return f"feed:{self.viewer}"

    async def only(self, fault: Fault, why: Why, entry: FeedEntry) -> None:
        """The audit finds this and nothing else."""
        report = await self.audit()
        (found,) = report.totals.examples
        assert (found.fault, found.why) == (fault, why)
        assert (found.user_id, found.entry) == (self.viewer, entry)
        assert report.totals.faults == {fault: 1}
        assert "{" not in advice(found)


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing moves here between two looks."""
    monkeypatch.setattr(feed_audit, "BETWEEN_LOOKS_S", 0.1)


@pytest.fixture
async def scene(any_stores: Stores) -> AsyncIterator[Scene]:
    settings = any_stores.settings
    with new_database(settings) as dsn:
        await migrate.migrate_postgres(dsn)
        stores = Own(settings, any_stores.secrets)
        stores.dsn = dsn
        made = Scene(stores, await add_people(stores.users, 4))
        await made.begin()
        yield made
        await stores.close()


async def test_a_sound_feed_is_sound(scene: Scene) -> None:
    entries = [await scene.post(scene.ann) for _ in range(3)]
    report = await scene.audit()
    assert report.clean
    assert report.totals.delivered == report.totals.eligible == 3
    assert await scene.reason(entries[0]) is Reason.PUSHED


async def test_a_lost_post_is_found_and_brought_back(scene: Scene) -> None:
    entry = await scene.post(scene.ann)
    await scene.stores.redis_server.call("ZREM", scene.key, member(entry))
    await scene.only(Fault.LOST, Why.MISSING, entry)
    assert await scene.reason(entry) is Reason.LOST
    assert (await scene.rebuilt()).equal
    assert (await scene.audit()).clean


async def test_a_ghost_is_found_and_taken_out(scene: Scene) -> None:
    """The entry alone does no harm; with a wrong follow set beside it a reader is shown it."""
    entry = await scene.post(scene.stranger)
    await scene.plant(entry)
    report = await scene.audit()
    assert (report.clean, report.totals.filtered) == (True, {Filtered.UNFOLLOWED: 1})
    cache = scene.stores.follow_cache
    token = await cache.following_token(scene.viewer)
    await cache.put_following(scene.viewer, [scene.ann, scene.bob, scene.stranger], token)
    await scene.only(Fault.GHOST, Why.NOT_FOLLOWED, entry)
    assert await scene.reason(entry) is Reason.GHOST
    assert (await scene.rebuilt()).equal
    assert (await scene.audit()).clean


async def test_a_post_under_a_second_author_is_a_duplicate(scene: Scene) -> None:
    entry = await scene.post(scene.ann)
    copy = entry._replace(published_at=entry.published_at + 1, author_id=scene.bob)
    await scene.plant(copy)
    await scene.only(Fault.DUPLICATE, Why.TWICE, copy)
    assert (await scene.rebuilt()).equal
    assert (await scene.audit()).clean


async def test_a_post_at_another_place_is_lost_and_put_right(scene: Scene) -> None:
    entry = await scene.post(scene.ann)
    await scene.plant(entry._replace(published_at=entry.published_at + 1))
    await scene.only(Fault.LOST, Why.MISPLACED, entry)
    assert (await scene.rebuilt()).equal
    assert (await scene.audit()).clean


async def test_a_deleted_post_that_is_still_sent_is_a_ghost(scene: Scene) -> None:
    entry = await scene.post(scene.ann)
    await scene.stores.post_cache.replace({entry.post_id: b"{}"})
    await scene.stores.photos.delete(entry.post_id)
    await scene.only(Fault.GHOST, Why.NOT_LIVE, entry)
    await scene.stores.post_cache.replace({entry.post_id: b""})
    report = await scene.audit()
    assert (report.clean, report.totals.filtered) == (True, {Filtered.DELETED: 1})


async def test_a_replay_and_a_rebuild_end_in_the_same_digest(scene: Scene) -> None:
    """Fan-out once more, of all that the topic holds, mends a feed as a rebuild does."""
    entries = [await scene.post(author) for author in (scene.ann, scene.bob) * 5]
    whole_feed = (await scene.rebuilt()).digest
    for lost in entries[2:7]:
        await scene.stores.redis_server.call("ZREM", scene.key, member(lost))
    for event in scene.events:
        await scene.fan_out(event)
    replayed = await scene.stores.timelines.page(scene.viewer, None, 100)
    assert replayed is not None
    assert sorted(replayed.entries) == sorted(entries)
    assert (await scene.rebuilt()).digest == whole_feed


async def test_everybody_is_rebuilt_after_the_cache_was_lost(scene: Scene) -> None:
    entries = [await scene.post(scene.ann) for _ in range(5)]
    before = (await scene.rebuilt()).digest
    await scene.stores.redis_server.call("DEL", scene.key)
    assert (await scene.audit()).totals.filtered == {Filtered.COLD_FEED: 5}

    async def no_lag() -> float:
        return 0.0

    run = RebuildRun(scene.stores, scene.stores.settings.feed.cap, no_lag, rate=100)
    done = await run.run(everyone(scene.stores.users, 2), Done(), None)
    assert (done.feeds, done.entries, done.unequal) == (4, len(entries), [])
    assert (await scene.rebuilt()).digest == before
    report = await scene.audit()
    assert (report.clean, report.totals.delivered) == (True, 5)

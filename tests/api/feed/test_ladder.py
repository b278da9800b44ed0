"""The ladder over twins that fail on command: what each step shows, costs and counts."""

import asyncio
import random
from contextlib import suppress
from types import SimpleNamespace
from typing import cast

import pytest

from api import metrics
from api.feed import follow_changes, reader
from api.feed.direct import DIRECT_POSTS, Direct
from api.feed.ladder import Ladder, Source
from api.feed.page import Completeness, Page
from api.feed.reader import FeedReader, FeedStores
from api.hydrator import Hydrator
from api.problems import Problem
from api.resilience import breakers as api_breakers
from api.resilience.breakers import Breakers, State
from domain.entities import PhotoStatus
from domain.errors import StoreAway
from domain.settings import Degradation, Feed
from tests.feed_world import EDGE, Life, World, ids_of, photo, post_ids
from tests.moods import Mood, Server

FEED = Feed(cap=20, trim_slack=3, pull_heads_s=0)
QUICK = Degradation(failures=3, pause_s=0.05, direct_budget_s=0.4, direct_reads=4)
VIEWER, FIRST, SECOND, STRANGER = range(4)
CACHES = ("timelines", "pulls", "shelf", "follow_cache", "post_cache", "reaction_cache")
ON = {
    **dict.fromkeys(CACHES, "redis"),
    **dict.fromkeys(("photos", "reactions"), "cassandra"),
    **dict.fromkeys(("users", "follows", "celebrities"), "postgres"),
}
GONE: tuple[Mood, ...] = ("refuses", "hangs")


class Scene:
    """A viewer who follows two people with 30 posts, and the servers that all of it is on."""

    def __init__(self, life: Life, settings: Degradation, *, replica: bool) -> None:
        self.life = life
        self.viewer = life.world.people[VIEWER]
        self.servers = {name: Server() for name in ("redis", "replica", "cassandra", "postgres")}
        self.breakers = Breakers(settings)
        stores = self.stores()
        reader = FeedReader(stores, EDGE, FEED, self.breakers)
        copy = None
        if replica:
            copies = self.stores(redis="replica")
            copy = FeedReader(copies, EDGE, FEED, self.breakers.of_replica())
        direct = Direct(stores, Hydrator(stores, EDGE, self.breakers), self.breakers, settings)
        self.ladder = Ladder((reader, copy), direct, self.breakers, settings, stores.follow_cache)

    def stores(self, **instead: str) -> FeedStores:
        """The twins, each on its server."""
        world = self.life.world
        held = {
            name: self.servers[instead.get(server, server)].holding(getattr(world, name))
            for name, server in ON.items()
        }
        return cast("FeedStores", SimpleNamespace(**held))

    def all(self, mood: Mood, *servers: str) -> None:
        for name in servers:
            self.servers[name].mood = mood

    async def read(self, limit: int = 10) -> Page:
        return await self.ladder.home(self.viewer, None, limit)

    async def want(self) -> list[str]:
        return ids_of(await self.life.expected(self.viewer))

    async def given_up(self, *servers: str) -> None:
        """Ask these until they are known to be away."""
        for name in servers:
            while self.breakers[name].state is State.CLOSED:
                with suppress(StoreAway):
                    await self.breakers[name].run(self.servers[name].answer, nothing)
        for server in self.servers.values():
            server.forget_counts()


async def nothing() -> None:
    """What is asked for."""


async def scene(settings: Degradation = QUICK, *, replica: bool = False) -> Scene:
    life = Life(await World(FEED, 4).settle())
    people = life.world.people
    for author in (FIRST, SECOND):
        await life.world.follows.follow(people[VIEWER], people[author], "e", 0)
    for number in range(30):
        await life.world.photos.add(photo(people[FIRST + number % 2], number, number // 2))
    return Scene(life, settings, replica=replica)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_breakers, "STORE_LIMIT_S", 0.05)
    monkeypatch.setattr(api_breakers, "PROBE_LIMIT_S", 0.03)
    monkeypatch.setattr(follow_changes, "_FORGET_LIMIT_S", 0.03)


@pytest.fixture
def counted() -> "Counted":
    return Counted()


class Counted:
    """Pages counted since it was made."""

    def __init__(self) -> None:
        self._before = self._now()

    def __getitem__(self, source: Source) -> int:
        now = self._now()
        return sum(n - self._before.get(key, 0) for key, n in now.items() if key[1] == source)

    @property
    def degraded_share(self) -> float:
        """As the operators' query has it."""
        new = {key: n - self._before.get(key, 0) for key, n in self._now().items()}
        return sum(n for (what, _), n in new.items() if what == "degraded") / sum(new.values())

    @staticmethod
    def _now() -> dict[tuple[str, str], int]:
        (family,) = metrics.FEED_PAGES.collect()
        return {
            (sample.labels["completeness"], sample.labels["source"]): int(sample.value)
            for sample in family.samples
            if sample.name.endswith("_total")
        }


async def test_with_everything_there_the_page_is_the_readers(counted: Counted) -> None:
    at = await scene()
    page = await at.read()
    assert page.completeness is Completeness.COMPLETE
    assert post_ids(page) == (await at.want())[:10]
    assert counted[Source.USUAL] == 1


@pytest.mark.parametrize("mood", GONE)
async def test_the_replica_shows_the_same_and_goes_on(mood: Mood, counted: Counted) -> None:
    at = await scene(replica=True)
    before = await at.read()
    at.all(mood, "redis")
    first = await at.read()
    assert (first.posts, first.after) == (before.posts, before.after)
    assert first.completeness is Completeness.DEGRADED
    second = await at.ladder.home(at.viewer, first.after, 10)
    assert post_ids(first) + post_ids(second) == (await at.want())[:20]
    assert counted[Source.REPLICA] == 2


async def test_the_replica_does_not_show_what_was_unfollowed_or_deleted_since() -> None:
    """The primary can't be told, so the replica never hears of it."""
    at = await scene(replica=True)
    first = post_ids(await at.read())
    at.all("refuses", "redis")
    at.ladder.last.post_deleted(first[0])
    assert post_ids(await at.read()) == first[1:]
    people = at.life.world.people
    await at.life.world.follows.unfollow(at.viewer, people[FIRST], "e", 1)
    await at.ladder.follows_changed(at.viewer, follow=False)
    left = await at.read()
    assert post_ids(left) == (await at.want())[:DIRECT_POSTS]
    assert left.completeness is Completeness.DEGRADED


@pytest.mark.parametrize("mood", GONE)
@pytest.mark.parametrize("known", [True, False])
async def test_a_follow_set_that_outlived_an_unfollowing_is_not_believed(
    mood: Mood, known: bool
) -> None:
    """Redis comes back as it was; nothing but this process has told it."""
    at = await scene()
    await at.read()
    first = at.life.world.people[FIRST]
    at.all(mood, "redis")
    if known:
        await at.given_up("redis")
    await at.life.world.follows.unfollow(at.viewer, first, "e", 1)
    await at.ladder.follows_changed(at.viewer, follow=False)
    assert first in (await at.life.world.follow_cache.following(at.viewer) or ())
    at.all("well", "redis")
    want = await at.want()
    async with asyncio.timeout(5):
        while (page := await at.read()).completeness is not Completeness.COMPLETE:
            assert set(post_ids(page)) <= set(want)
            await asyncio.sleep(0.005)
    assert post_ids(page) == want[:10]
    assert first not in (await at.life.world.follow_cache.following(at.viewer) or ())


async def test_nor_does_the_stream_tell_of_who_was_unfollowed_while_redis_was_away() -> None:
    at = await scene()
    await at.read()
    people = at.life.world.people
    at.all("refuses", "redis")
    await at.life.world.follows.unfollow(at.viewer, people[FIRST], "e", 1)
    await at.ladder.follows_changed(at.viewer, follow=False)
    assert await at.ladder.news(at.viewer, None, ()) is None, "nobody can tell"
    at.all("well", "redis")
    news = ids_of(await at.ladder.news(at.viewer, None, ()) or ())
    assert news
    assert news == (await at.want())[: len(news)]


async def test_an_unfollowing_that_redis_heard_of_costs_later_reads_nothing() -> None:
    at = await scene()
    await at.ladder.follows_changed(at.viewer, follow=False)
    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr(at.life.world.follow_cache, "forget_following", None)
        assert (await at.read()).completeness is Completeness.COMPLETE


@pytest.mark.parametrize("mood", GONE)
async def test_then_the_last_good_page(mood: Mood, counted: Counted) -> None:
    at = await scene(replica=True)
    before = await at.read()
    at.all(mood, "redis", "replica", "cassandra", "postgres")
    page = await at.read()
    assert page.posts == before.posts
    assert page.completeness is Completeness.DEGRADED
    assert counted[Source.KEPT] == 1
    stranger = await at.ladder.home(at.life.world.people[STRANGER], None, 10)
    assert stranger.posts == []


async def test_a_kept_page_is_a_first_page_and_was_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    at = await scene()
    first = await at.read()
    at.all("refuses", "redis", "cassandra")
    assert (await at.ladder.home(at.viewer, first.after, 10)).posts == []
    at = await scene()
    monkeypatch.setattr(reader, "_BUILD_LIMIT_S", 0.0)
    rebuilding = await at.read()
    assert rebuilding.completeness is Completeness.REBUILDING
    at.all("refuses", "redis", "cassandra")
    assert at.ladder.last.get(at.viewer, 10) is None


@pytest.mark.parametrize("mood", GONE)
async def test_then_a_few_posts_past_the_caches_page_by_page(mood: Mood, counted: Counted) -> None:
    at = await scene()
    at.all(mood, "redis")
    first = await at.read()
    second = await at.ladder.home(at.viewer, first.after, 10)
    assert first.completeness is second.completeness is Completeness.DEGRADED
    assert post_ids(first) + post_ids(second) == (await at.want())[: 2 * DIRECT_POSTS]
    assert counted[Source.DIRECT] == 2


@pytest.mark.parametrize("mood", GONE)
@pytest.mark.parametrize("also", ["cassandra", "postgres"])
async def test_then_nothing_but_no_error(mood: Mood, also: str, counted: Counted) -> None:
    at = await scene()
    at.all(mood, "redis", also)
    page = await at.read()
    assert page == Page([], None, Completeness.DEGRADED)
    assert counted[Source.NOTHING] == 1


@pytest.mark.parametrize("mood", GONE)
async def test_who_is_known_to_be_away_is_not_waited_for(mood: Mood) -> None:
    at = await scene(Degradation(failures=3, pause_s=60))
    at.all(mood, "redis", "cassandra", "postgres")
    await at.given_up("redis", "cassandra", "postgres")
    for _ in range(20):
        assert (await at.read()).completeness is Completeness.DEGRADED
    assert [at.servers[name].calls for name in ("redis", "cassandra", "postgres")] == [0, 0, 0]


async def test_nor_does_a_build_wait_for_it() -> None:
    at = await scene(Degradation(failures=3, pause_s=60))
    at.all("hangs", "cassandra")
    await at.given_up("cassandra")
    for _ in range(5):
        assert await at.read() == Page([], None, Completeness.DEGRADED)
    assert at.servers["redis"].calls > 0
    assert at.servers["cassandra"].calls == 0


async def test_few_at_a_time_read_past_the_caches_and_nobody_queues(counted: Counted) -> None:
    at = await scene()
    at.all("refuses", "redis")
    pages = await asyncio.gather(*(at.read(3) for _ in range(20)))
    assert sorted(len(page.posts) for page in pages) == [0] * 16 + [3] * 4
    assert counted.degraded_share == 1.0


async def test_a_slow_partition_leaves_what_the_others_had_and_no_way_on() -> None:
    at = await scene()
    slow, by_user = at.life.world.people[SECOND], at.life.world.photos.by_user

    async def held(user_id: str, *args: object) -> object:
        if user_id == slow:
            await asyncio.Event().wait()
        return await by_user(user_id, *args)  # type: ignore[arg-type] # passed on

    monkey = pytest.MonkeyPatch()
    monkey.setattr(at.life.world.photos, "by_user", held)
    monkey.setattr(api_breakers, "STORE_LIMIT_S", 2.0)
    at.all("refuses", "redis")
    page = await at.read()
    monkey.undo()
    want = [e.post_id for e in await at.life.expected(at.viewer) if e.author_id != slow]
    assert post_ids(page) == want[:DIRECT_POSTS]
    assert page.after is None, "the slow one's posts would be skipped for good"


async def test_without_cassandra_what_the_caches_have_is_shown(counted: Counted) -> None:
    at = await scene()
    before = await at.read()
    at.all("hangs", "cassandra")
    assert await at.read() == before
    await at.life.world.post_cache.forget((await at.want())[:3])
    poor = await at.read()
    assert poor.posts == before.posts, "the kept page has more"
    assert poor.completeness is Completeness.DEGRADED
    assert counted[Source.KEPT] == 1


async def test_a_kept_page_does_not_show_who_was_unfollowed_here_nor_what_was_deleted() -> None:
    at = await scene()
    before = await at.read()
    at.all("refuses", "redis", "cassandra")
    at.ladder.last.post_deleted(post_ids(before)[0])
    assert post_ids(await at.read()) == post_ids(before)[1:]
    await at.ladder.follows_changed(at.viewer, follow=False)
    assert (await at.read()).posts == []


async def test_beyond_what_may_be_under_way_reads_are_refused_at_once(counted: Counted) -> None:
    at = await scene(QUICK.model_copy(update={"reads_in_flight": 2}))
    at.servers["redis"].mood = "hangs"
    under_way = [asyncio.create_task(at.read()) for _ in range(2)]
    await asyncio.sleep(0.01)
    with pytest.raises(Problem) as refused:
        await at.read()
    assert refused.value.kind.status == 503
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 3
    with pytest.raises(Problem):
        await at.ladder.grid(at.life.world.people[FIRST], at.viewer, None, 10)
    await asyncio.gather(*under_way)
    assert counted[Source.NOTHING] == 0


async def test_a_read_that_ended_is_not_under_way() -> None:
    at = await scene(QUICK.model_copy(update={"reads_in_flight": 2}))
    for _ in range(5):
        assert (await at.read()).completeness is Completeness.COMPLETE
        assert await at.ladder.grid(at.life.world.people[FIRST], at.viewer, None, 5)


async def test_who_has_a_kept_page_gets_it_instead_of_a_refusal(counted: Counted) -> None:
    at = await scene(QUICK.model_copy(update={"reads_in_flight": 2}))
    before = await at.read()
    at.servers["redis"].mood = "hangs"
    under_way = [asyncio.create_task(at.read()) for _ in range(2)]
    await asyncio.sleep(0.01)
    assert (await at.read()).posts == before.posts
    await asyncio.gather(*under_way)
    assert counted[Source.KEPT] >= 1


async def test_while_a_store_is_known_to_be_away_nobody_is_refused() -> None:
    at = await scene(QUICK.model_copy(update={"reads_in_flight": 2, "pause_s": 60}))
    at.all("refuses", "redis")
    await at.given_up("redis")
    at.servers["cassandra"].mood = "hangs"
    pages = await asyncio.gather(*(at.read() for _ in range(10)))
    assert {page.completeness for page in pages} == {Completeness.DEGRADED}


@pytest.mark.parametrize("mood", GONE)
async def test_back_again_one_finds_out_and_then_all_are_served(mood: Mood) -> None:
    at = await scene()
    before = await at.read()
    at.all(mood, "redis")
    await at.given_up("redis")
    for _ in range(40):  # in which it is asked again several times
        await asyncio.gather(*(at.read() for _ in range(5)))
        await asyncio.sleep(0.005)
    assert at.servers["redis"].most_inside == 1
    at.all("well", "redis")
    async with asyncio.timeout(5):
        while (await at.read()).completeness is not Completeness.COMPLETE:  # noqa: ASYNC110 - time alone turns it
            await asyncio.sleep(0.005)
    pages = await asyncio.gather(*(at.read() for _ in range(20)))
    assert all(page == before for page in pages)


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_fails_whenever_every_read_is_answered_and_true(seed: int) -> None:
    """Servers fail and come back by chance, while people post, delete and unfollow."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    at = await scene(replica=bool(seed % 2))
    await at.life.world.follows.follow(at.viewer, at.life.world.people[STRANGER], "e", 0)
    for number in range(100, 250):
        await something_happens(at, chance, number)
        page = await asyncio.wait_for(at.read(), 2)
        shown, want = post_ids(page), await at.want()
        assert len(set(shown)) == len(shown) <= 10
        assert set(shown) <= set(want), "deleted, or not followed"
        assert shown == sorted(shown, key=want.index), "newest first"
        if page.completeness is Completeness.COMPLETE:
            assert shown == want[:10]
        await asyncio.sleep(0.002)


async def something_happens(at: Scene, chance: random.Random, number: int) -> None:
    """A server turns, or somebody does something; as the API and the stages do it."""
    world = at.life.world
    match chance.randrange(8):
        case 0 | 1 | 2 | 3:
            server = chance.choice(list(at.servers.values()))
            server.mood = chance.choice(("well", "well", *GONE))
        case 4:
            await at.life.post(photo(world.people[FIRST], number, number))
        case 5:
            await delete(at, chance.choice(sorted(world.photos.rows)))
        case 6:
            change = chance.choice((world.follows.follow, world.follows.unfollow))
            await change(at.viewer, world.people[SECOND], "e", 0)
            follow = change == world.follows.follow
            await at.ladder.follows_changed(at.viewer, follow=follow)
            if follow:
                await world.timelines.drop(at.viewer)  # refill_feeds would put it right


async def delete(at: Scene, post_id: str) -> None:
    """Row, cache and kept pages; the cache forgets whatever its mood."""
    if at.life.world.photos.rows[post_id].status is PhotoStatus.PUBLISHED:
        await at.life.world.photos.delete(post_id)
        await at.life.world.post_cache.replace({post_id: b""})
        at.ladder.last.post_deleted(post_id)

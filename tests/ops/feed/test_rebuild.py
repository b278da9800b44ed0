"""I2: a rebuild ends in the feed that the stores say, beside readers and fan-out; on twins."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.entities import FeedEntry
from domain.errors import StoreAway
from domain.feed_digest import Total, digest
from domain.settings import Feed
from ops.errors import Refused
from ops.feed.rebuild import Rebuild, Rebuilt
from ops.feed.rebuild_run import Done, Place, RebuildRun
from ops.feed.sources import everyone, whole
from tests.feed_world import Life, World, above, entry_of, ids_of, photo
from tests.interleaving import Interleaving

FEED = Feed(cap=20, trim_slack=3, celebrity_threshold=2)
VIEWER, READER, FIRST, SECOND = range(4)


async def life(posts: int = 30, *, warm: bool = True) -> Life:
    """Two followers of one author each has read a feed of more posts than its cap."""
    made = Life(await World(FEED, 4).settle())
    people = made.world.people
    for number in range(posts):
        author = people[FIRST + number % 2]
        await made.world.photos.add(photo(author, number, number // 3))
    for reader in (VIEWER, READER):
        await made.world.follows.follow(people[reader], people[FIRST], "e", 0)
        if warm:
            await made.read(people[reader])
    return made


def rebuild(life: Life) -> Rebuild:
    return Rebuild(life.world, life.world.photos, FEED.cap)


async def is_exact(life: Life, viewer: str) -> None:
    """The set above its floor, but for what is pulled into it; and all pages."""
    want = await life.expected(viewer)
    page = await whole(life.world.timelines, viewer)
    if page is not None:
        missing = set(above(want, page.floor)).difference(page.entries)
        assert set(page.entries) <= set(want)
        assert {entry.author_id for entry in missing} <= set(page.celebrities)
    assert await life.read(viewer) == ids_of(want)


@pytest.mark.parametrize("warm", [True, False])
async def test_a_rebuilt_feed_is_what_the_stores_say(*, warm: bool) -> None:
    made = await life(warm=warm)
    viewer = made.world.people[VIEWER]
    rebuilt = await rebuild(made)(viewer)
    assert rebuilt.equal
    assert rebuilt.digest == digest((await made.expected(viewer))[: rebuilt.entries])
    await is_exact(made, viewer)


async def test_what_was_lost_comes_back_and_strangers_go() -> None:
    made = await life()
    viewer, stranger = made.world.people[VIEWER], made.world.people[SECOND]
    page = await whole(made.world.timelines, viewer)
    assert page is not None
    await made.world.timelines.remove(viewer, page.entries[2:4])
    foreign = photo(stranger, 900, 900)
    await made.world.photos.add(foreign)
    await made.world.timelines.push(entry_of(foreign), [viewer])
    await made.world.timelines.mark_celebrity(stranger, [viewer])
    assert (await rebuild(made)(viewer)).equal
    await is_exact(made, viewer)
    after = await whole(made.world.timelines, viewer)
    assert after is not None
    assert after.celebrities == []


async def test_a_pulled_list_with_strangers_or_gaps_is_built_anew() -> None:
    made = await life(posts=10)
    world = made.world
    viewer, author, stranger = (world.people[n] for n in (VIEWER, FIRST, SECOND))
    await world.celebrities.start_pulling(author, "ph_1")
    await world.timelines.mark_celebrity(author, [viewer])
    own, foreign = photo(author, 800, 800), photo(stranger, 900, 900)
    for each in (own, foreign):
        await world.photos.add(each)
    await made.read(viewer)
    moved = FeedEntry(entry_of(foreign).published_at, foreign.photo_id, author)
    await world.pulls.push(moved, [author])
    assert foreign.photo_id in await made.read(viewer), "the fault is seen"
    assert (await rebuild(made)(viewer)).equal
    await is_exact(made, viewer)
    await world.pulls.remove(author, [entry_of(own)])
    assert (await rebuild(made)(viewer)).equal
    await made.read(viewer)
    held = await whole(world.pulls, author)
    assert held is not None
    assert entry_of(own) in held.entries


async def test_a_pulled_list_that_is_right_stays() -> None:
    made = await life(posts=60)
    world = made.world
    viewer, author = world.people[VIEWER], world.people[FIRST]
    await world.celebrities.start_pulling(author, "ph_1")
    await world.timelines.mark_celebrity(author, [viewer])
    await made.read(viewer)
    assert (await rebuild(made)(viewer)).equal
    assert await whole(world.pulls, author) is not None


async def test_what_is_no_longer_followed_goes_without_a_mark() -> None:
    made = await life()
    viewer, stranger = made.world.people[VIEWER], made.world.people[SECOND]
    foreign = photo(stranger, 900, 900)
    await made.world.photos.add(foreign)
    await made.world.timelines.push(entry_of(foreign), [viewer])
    assert (await rebuild(made)(viewer)).equal
    page = await whole(made.world.timelines, viewer)
    assert page is not None
    assert entry_of(foreign) not in page.entries


async def test_a_pulled_author_is_marked_again() -> None:
    made = await life()
    viewer, author = made.world.people[VIEWER], made.world.people[FIRST]
    await made.post(photo(author, 500, 500))
    await made.world.timelines.drop(viewer)
    await rebuild(made)(viewer)
    page = await whole(made.world.timelines, viewer)
    assert page is not None
    assert page.celebrities == [author]
    await made.post(photo(author, 501, 501))
    await is_exact_read(made, viewer)


async def is_exact_read(life: Life, viewer: str) -> None:
    assert await life.read(viewer) == ids_of(await life.expected(viewer))


async def test_a_feed_is_readable_at_every_step_of_its_rebuild() -> None:
    made = await life()
    viewer = made.world.people[VIEWER]
    want = ids_of(await made.expected(viewer))
    seen: list[list[str]] = []

    class Watched:
        """The feed sets, read before and after each call."""

        def __getattr__(self, name: str) -> object:
            method = getattr(timelines, name)

            async def call(*args: object) -> object:
                found = await method(*args)
                made.world.timelines = timelines
                seen.append(await made.read(viewer))
                made.world.timelines = self  # type: ignore[assignment] # the same, watched
                return found

            return call

    timelines = made.world.timelines
    made.world.timelines = Watched()  # type: ignore[assignment] # the same, watched
    await rebuild(made)(viewer)
    assert len(seen) > 3
    assert all(each == want for each in seen)


@pytest.mark.parametrize("start", ["warm", "cold"])
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 1 << 32).map(random.Random), older=st.integers(0, 30))
async def test_nothing_that_happens_meanwhile_is_lost_or_comes_back(
    start: str, seed: random.Random, older: int
) -> None:
    """Posts, follows, an unfollow and refollow, an eviction between any steps of a rebuild."""
    made = await life(older, warm=start == "warm")
    world, (viewer, _, first, second) = made.world, made.world.people
    order = Interleaving(seed)
    for name in ("follows", "photos", "timelines", "follow_cache"):
        setattr(world, name, order.stepped(getattr(world, name)))
    busy = Life(world)

    async def change() -> None:
        await busy.unfollow(viewer, first)
        await busy.follow(viewer, first)
        await busy.follow(viewer, second)

    async def post() -> None:
        await busy.post(photo(second, 700, 3))
        await busy.post(photo(first, 701, 3))

    async def evict() -> None:
        if seed.random() < 0.3:
            await world.timelines.drop(viewer)

    async def anew() -> None:
        await Rebuild(world, world.photos, FEED.cap)(viewer)

    await order.run(change(), post(), anew(), evict())
    await is_exact(busy, viewer)
    await busy.reader.close()
    await made.reader.close()


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 1 << 32).map(random.Random))
async def test_a_refollow_meanwhile_keeps_its_posts(seed: random.Random) -> None:
    """What the refill of a refollow brings must not fall to a removal that was decided before."""
    made = await life(12)
    world, viewer, first = made.world, made.world.people[VIEWER], made.world.people[FIRST]
    order = Interleaving(seed)
    for name in ("follows", "timelines"):
        setattr(world, name, order.stepped(getattr(world, name)))
    busy = Life(world)

    async def refollow() -> None:
        await busy.unfollow(viewer, first)
        await busy.follow(viewer, first)

    async def anew() -> None:
        await Rebuild(world, world.photos, FEED.cap)(viewer)

    await order.run(refollow(), anew())
    await is_exact(busy, viewer)
    await busy.reader.close()
    await made.reader.close()


# --- many of them -------------------------------------------------------------------------------


async def no_lag() -> float:
    return 0.0


async def test_everybody_is_rebuilt_and_counted() -> None:
    made = await life(warm=False)
    done = await run(made, Done(), None)
    assert (done.feeds, done.unequal) == (4, [])
    assert done.document()["cassandra_reads"] > 0
    pages = [await whole(made.world.timelines, person) for person in made.world.people]
    total = Total()
    for person, page in zip(made.world.people, pages, strict=True):
        assert page is not None
        total.add(person, digest(page.entries))
    assert done.document()["digest"] == str(total)
    assert done.entries == sum(len(page.entries) for page in pages if page)


async def run(life: Life, done: Done, place: Place | None, rate: float = 1e6) -> Done:
    work = RebuildRun(life.world, FEED.cap, no_lag, rate)
    return await work.run(everyone(life.world.users, 2, done.after), done, place)


async def test_a_broken_run_goes_on_behind_what_is_done(tmp_path: Path) -> None:
    made = await life(warm=False)
    whole_run = (await run(made, Done(), None)).document()
    place = Place(tmp_path / "rebuilds" / "all.json")

    async def breaks() -> AsyncIterator[Sequence[str]]:
        yield made.world.people[:2]
        raise StoreAway("redis")

    with pytest.raises(StoreAway):
        await RebuildRun(made.world, FEED.cap, no_lag, 1e6).run(breaks(), Done(), place)
    resumed = place.load()
    assert (resumed.feeds, resumed.after) == (2, made.world.people[1])
    rest = (await run(made, resumed, place)).document()
    for name in ("feeds", "entries", "digest", "cassandra_reads"):
        assert rest[name] == whole_run[name], name


def test_a_broken_file_is_said_so(tmp_path: Path) -> None:
    place = Place(tmp_path / "all.json")
    assert place.load() == Done()
    place.path.write_text(json.dumps({"what": 1}))
    with pytest.raises(Refused):
        place.load()


async def test_the_rate_is_kept() -> None:
    made = await life(warm=False)
    began = asyncio.get_running_loop().time()
    work = RebuildRun(made.world, FEED.cap, no_lag, 40.0)
    pace = work.pace.rate
    await work.run(everyone(made.world.users, 2), Done(), None)
    assert asyncio.get_running_loop().time() - began >= (4 - 1) / 40.0
    assert pace < work.pace.rate <= 40.0


def test_digests_of_many_feeds_do_not_depend_on_their_order() -> None:
    entries = [FeedEntry(1, "ph_1", "u_1"), FeedEntry(2, "ph_2", "u_1")]
    assert digest(entries) == digest(entries[::-1])
    assert digest(entries) != digest([entries[0], entries[1]._replace(author_id="u_2")])
    forth, back = Total(), Total()
    for name in ("a", "b"):
        forth.add(name, digest(entries))
    for name in ("b", "a"):
        back.add(name, digest(entries))
    assert forth == back
    assert str(forth) != str(Total())


def test_a_rebuilt_feed_knows_whether_it_agrees() -> None:
    assert Rebuilt("u", 1, "a", "a").equal
    assert not Rebuilt("u", 1, "a", "b").equal

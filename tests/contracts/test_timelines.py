"""What Timelines promises, by its twin and by the real server."""

import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from domain.entities import Cursor, FeedEntry
from domain.feed import place
from domain.ports.feeds import Timelines
from domain.settings import Feed
from stores.connect import Stores
from stores.memory.redis import MemoryTimelines
from stores.redis_timelines import RedisTimelines
from tests.fresh import fresh_id
from tests.timelines import AUTHORS, FEED, build, entries, entry, read


@pytest.fixture(params=["memory", "stores", "cluster_stores"])
def timelines(request: pytest.FixtureRequest) -> Timelines:
    if request.param == "memory":
        return MemoryTimelines(FEED)
    stores: Stores = request.getfixturevalue(request.param)
    return RedisTimelines(stores.redis_server, FEED)


@pytest.fixture
def user() -> str:
    return fresh_id("u_")


async def test_cold_is_not_empty(timelines: Timelines, user: str) -> None:
    assert await timelines.page(user, None, 10) is None
    assert not await timelines.exists(user)
    await build(timelines, user, [])
    assert await read(timelines, user) == []


async def test_a_push_does_not_warm_a_cold_feed(timelines: Timelines, user: str) -> None:
    assert await timelines.push(entry(1), [user]) == 0
    assert await timelines.page(user, None, 10) is None
    await build(timelines, user, [])
    assert await read(timelines, user) == []


async def test_push_twice_is_push_once(timelines: Timelines, user: str) -> None:
    other = fresh_id("u_")
    await build(timelines, user, [])
    await build(timelines, other, [])
    for _ in range(2):
        assert await timelines.push(entry(1), [user, fresh_id("u_"), other]) == 2
    assert await read(timelines, user) == await read(timelines, other) == [entry(1)]


async def test_pushes_reach_a_feed_while_it_is_built(timelines: Timelines, user: str) -> None:
    token = await timelines.begin_build(user)
    assert await timelines.push(entry(2, 2), [user]) == 1
    assert await timelines.page(user, None, 10) is None
    assert await timelines.finish_build(user, token, [entry(1, 1)])
    assert await read(timelines, user) == [entry(2, 2), entry(1, 1)]


async def test_a_dropped_build_is_void(timelines: Timelines, user: str) -> None:
    token = await timelines.begin_build(user)
    await timelines.drop(user)
    assert not await timelines.finish_build(user, token, [entry(1)])
    assert await timelines.page(user, None, 10) is None


async def test_a_build_older_than_a_drop_is_void_beside_a_newer_one(
    timelines: Timelines, user: str
) -> None:
    old = await timelines.begin_build(user)
    await timelines.drop(user)
    new = await timelines.begin_build(user)
    assert not await timelines.finish_build(user, old, [entry(1)])
    assert await timelines.finish_build(user, new, [entry(2)])
    assert await read(timelines, user) == [entry(2)]


async def test_of_two_builders_the_first_wins(timelines: Timelines, user: str) -> None:
    first, second = await timelines.begin_build(user), await timelines.begin_build(user)
    assert await timelines.finish_build(user, second, [entry(1)])
    assert not await timelines.finish_build(user, first, [])
    assert await read(timelines, user) == [entry(1)]


async def test_a_feed_is_trimmed_past_its_slack_and_keeps_its_floor(
    timelines: Timelines, user: str
) -> None:
    await build(timelines, user, [])
    full = entries(FEED.cap + FEED.trim_slack)
    for each in reversed(full):
        await timelines.push(each, [user])
    page = await timelines.page(user, None, 100)
    assert page is not None
    assert (page.entries, page.floor) == (full, None)
    newest = entry(1000, 1000)
    await timelines.push(newest, [user])
    page = await timelines.page(user, None, 100)
    assert page is not None
    assert page.entries == [newest, *full[: FEED.cap - 1]]
    assert page.floor == place(full[FEED.cap - 1])


async def test_the_floor_never_falls_and_hides_what_is_below(
    timelines: Timelines, user: str
) -> None:
    await build(timelines, user, entries(FEED.cap, start=1000))
    floor = place(entry(1000, 1000))
    late = entry(5, 5, author=1)
    await timelines.push(late, [user])
    await timelines.add_entries(user, [late])
    page = await timelines.page(user, None, 100)
    assert page is not None
    assert page.floor == floor
    assert page.entries == entries(FEED.cap - 1, start=1001)


async def test_a_list_cut_off_at_the_cap_raises_the_floor(timelines: Timelines, user: str) -> None:
    await build(timelines, user, [entry(1, 1)])
    await timelines.add_entries(user, entries(FEED.cap, start=100, author=1))
    page = await timelines.page(user, None, 100)
    assert page is not None
    assert page.floor == place(entry(100, 100))
    assert page.entries == entries(FEED.cap - 1, start=101, author=1)


async def test_backfill_merges_and_leaves_cold_feeds_alone(timelines: Timelines, user: str) -> None:
    await timelines.add_entries(user, entries(3))
    assert not await timelines.exists(user)
    await build(timelines, user, [entry(1, 1)])
    await timelines.add_entries(user, entries(3))
    assert await read(timelines, user) == entries(3)


async def test_an_author_is_taken_out_whole_and_alone(timelines: Timelines, user: str) -> None:
    await build(timelines, user, [*entries(3, start=10, author=1), *entries(3, author=2)])
    await timelines.remove_author(user, AUTHORS[1])
    assert await read(timelines, user) == entries(3, author=2)
    await timelines.remove_author(fresh_id("u_"), AUTHORS[1])


async def walk(timelines: Timelines, user: str, limit: int) -> list[FeedEntry]:
    """All pages one after the other."""
    before: Cursor | None = None
    seen: list[FeedEntry] = []
    while (page := await timelines.page(user, before, limit)) and page.entries:
        assert len(page.entries) <= limit
        seen += page.entries
        before = place(page.entries[-1])
    return seen


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    times=st.lists(st.integers(0, 3), max_size=FEED.cap - 1),
    limit=st.integers(1, 7),
)
async def test_pages_never_skip_or_repeat_with_equal_times(
    timelines: Timelines, times: list[int], limit: int
) -> None:
    user = fresh_id("u_")
    content = [entry(at, number, number % 3) for number, at in enumerate(times)]
    await build(timelines, user, content)
    seen = await walk(timelines, user, limit)
    assert seen == sorted(content, reverse=True)
    assert [each.author_id for each in seen] == [
        each.author_id for each in sorted(content, reverse=True)
    ]


async def test_a_thousand_posts_in_one_millisecond_are_paged(any_stores: Stores, user: str) -> None:
    timelines = RedisTimelines(any_stores.redis_server, Feed())
    content = [entry(0, number) for number in range(1000)]
    await build(timelines, user, content)
    assert await walk(timelines, user, 20) == content[::-1]


async def test_a_celebrity_is_marked_in_feeds_that_exist(timelines: Timelines, user: str) -> None:
    building, cold = fresh_id("u_"), fresh_id("u_")
    await build(timelines, user, [])
    token = await timelines.begin_build(building)
    for author in (AUTHORS[2], AUTHORS[1], AUTHORS[2]):
        await timelines.mark_celebrity(author, [user, cold, building])
    assert not await timelines.exists(cold)
    assert await timelines.finish_build(building, token, [entry(1)], [AUTHORS[0], AUTHORS[1]])
    first, second = await timelines.pages([user, building], None, 10)
    assert first is not None
    assert second is not None
    assert (first.entries, second.entries) == ([], [entry(1)])
    assert list(first.celebrities) == AUTHORS[1:]
    assert list(second.celebrities) == AUTHORS


async def test_a_removed_author_is_pulled_no_more(timelines: Timelines, user: str) -> None:
    token = await timelines.begin_build(user)
    await timelines.finish_build(user, token, entries(2), AUTHORS[:2])
    await timelines.remove_author(user, AUTHORS[0])
    page = await timelines.page(user, None, 10)
    assert page is not None
    assert (page.entries, list(page.celebrities)) == ([], AUTHORS[1:2])
    await timelines.remove_author(fresh_id("u_"), AUTHORS[0])


async def test_marks_are_no_entries_and_are_never_trimmed(timelines: Timelines, user: str) -> None:
    token = await timelines.begin_build(user)
    many = sorted(fresh_id("u_") for _ in range(FEED.cap + FEED.trim_slack))
    await timelines.finish_build(user, token, [], many)
    full = entries(FEED.cap + FEED.trim_slack)
    for each in full:
        await timelines.push(each, [user])
    page = await timelines.page(user, None, 100)
    assert page is not None
    assert (page.entries, page.floor, list(page.celebrities)) == (full, None, many)
    await timelines.push(entry(1000, 1000), [user])
    page = await timelines.page(user, None, 100)
    assert page is not None
    assert len(page.entries) == FEED.cap
    assert list(page.celebrities) == many


async def test_several_pages_are_read_at_once(timelines: Timelines, user: str) -> None:
    other, cold, many = fresh_id("u_"), fresh_id("u_"), entries(FEED.cap)
    await build(timelines, user, many)
    await build(timelines, other, [entry(3, number) for number in range(20)])
    for before in (None, place(entry(3, 3))):
        batch = await timelines.pages([user, cold, other], before, 7)
        alone = [await timelines.page(each, before, 7) for each in (user, cold, other)]
        assert [page and page.entries for page in batch] == [
            page and page.entries for page in alone
        ]
        assert [page and page.floor for page in batch] == [page and page.floor for page in alone]
    assert await timelines.pages([], None, 7) == []


async def test_a_feed_tells_when_it_was_built(timelines: Timelines, user: str) -> None:
    token = await timelines.begin_build(user)
    before = time.time_ns() // 1_000_000
    await timelines.finish_build(user, token, [])
    after = time.time_ns() // 1_000_000
    page = await timelines.page(user, None, 1)
    assert page is not None
    assert before <= page.built_at <= after


async def test_entries_are_removed(timelines: Timelines, user: str) -> None:
    await build(timelines, user, entries(5))
    await timelines.remove(user, [entry(1, 1), entry(3, 3), entry(9, 9)])
    await timelines.remove(user, [])
    await timelines.remove(fresh_id("u_"), entries(1))
    assert await read(timelines, user) == [entry(4, 4), entry(2, 2), entry(0, 0)]


def some(number: int) -> FeedEntry:
    """Three posts a millisecond, by three authors."""
    return entry(number // 3, number, number % 3)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 60)),
        st.tuples(st.just("begin")),
        st.tuples(st.just("finish"), st.integers(0, 40), st.integers(0, 25)),
        st.tuples(st.just("add"), st.integers(0, 40), st.integers(0, 25)),
        st.tuples(st.just("remove"), st.integers(0, 2)),
        st.tuples(st.just("take"), st.integers(0, 60), st.integers(0, 10)),
        st.tuples(st.just("mark"), st.integers(0, 2)),
        st.tuples(st.just("drop")),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(operations=OPERATIONS)
@example([("begin",), ("finish", 12, 15), ("add", 0, 11), ("add", 0, 5), ("push", 11)])
async def test_twin_and_server_agree_whatever_happens(
    any_stores: Stores, operations: list[tuple[object, ...]]
) -> None:
    user = fresh_id("u_")
    both: list[Timelines] = [MemoryTimelines(FEED), RedisTimelines(any_stores.redis_server, FEED)]
    pages = [await _run(timelines, user, operations) for timelines in both]
    assert pages[0] == pages[1]


async def _run(timelines: Timelines, user: str, operations: list[tuple[object, ...]]) -> object:
    """What can be observed after each operation."""
    token = ""
    observed: list[object] = []
    for name, *args in operations:
        first, length, *_ = [*(int(str(arg)) for arg in args), 0, 0]
        batch = [some(first + step) for step in range(length)]
        if name == "begin":
            token = await timelines.begin_build(user)
        elif name == "finish":
            observed.append(await timelines.finish_build(user, token, batch))
        else:
            await _change(timelines, user, str(name), first, batch)
        page = await timelines.page(user, None, 100)
        observed.append(page and (page.entries, page.floor, list(page.celebrities)))
    return observed


async def _change(
    timelines: Timelines, user: str, name: str, number: int, batch: list[FeedEntry]
) -> None:
    if name == "push":
        await timelines.push(some(number), [user])
    elif name == "add":
        await timelines.add_entries(user, batch)
    elif name == "remove":
        await timelines.remove_author(user, AUTHORS[number])
    elif name == "take":
        await timelines.remove(user, batch)
    elif name == "mark":
        await timelines.mark_celebrity(AUTHORS[number], [user])
    else:
        await timelines.drop(user)

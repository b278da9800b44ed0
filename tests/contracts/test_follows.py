"""Follows: the twin and PostgreSQL keep the same promises."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from domain.entities import Edge, OutboxRow
from domain.errors import NotFound, StoreAway
from domain.ports.accounts import Users
from domain.ports.graph import Follows
from domain.ports.log import Outbox
from stores import postgres_follows
from stores.memory.graph import MemoryFollows, MemoryOutbox
from stores.memory.postgres import MemoryUsers
from stores.postgres_follows import PostgresFollows
from stores.postgres_outbox import PostgresOutbox
from stores.postgres_pool import PostgresPool
from stores.postgres_users import PostgresUsers
from tests.fresh import fresh_id, now_ms
from tests.people import add_people
from topics.catalog import FOLLOW_CREATED, FOLLOW_DELETED

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Graph:
    """The adapters under test, over one server."""

    users: Users
    follows: Follows
    outbox: Outbox

    async def events(self) -> list[OutboxRow]:
        """What was enqueued since the last look."""
        seen: list[OutboxRow] = []

        async def keep(rows: Sequence[OutboxRow]) -> None:
            seen.extend(rows)

        while await self.outbox.drain(keep, 500):
            pass
        return seen


@pytest.fixture(params=["memory", "postgres"])
async def graph(
    request: pytest.FixtureRequest, postgres: PostgresPool, postgres_dsn: str
) -> AsyncIterator[Graph]:
    if request.param == "memory":
        users, queue = MemoryUsers(), MemoryOutbox()
        yield Graph(users, MemoryFollows(users, queue), queue)
        return
    outbox = PostgresOutbox(postgres_dsn)
    made = Graph(PostgresUsers(postgres), PostgresFollows(postgres), outbox)
    await made.events()
    yield made
    await outbox.close()


async def test_a_follow_is_an_edge_and_one_event(graph: Graph) -> None:
    ann, bob = await add_people(graph.users, 2)
    event_id, now = fresh_id(), now_ms()
    edge = await graph.follows.follow(ann, bob, event_id, now, traceparent=TRACE)
    assert edge == await graph.follows.edge(ann, bob)
    assert (edge.following, edge.changed_at) == (True, now)
    (row,) = await graph.events()
    assert (row.topic, row.key) == (FOLLOW_CREATED.name, bob.encode())
    assert row.headers == (("traceparent", TRACE.encode()),)
    event = FOLLOW_CREATED.codec.decode(row.payload)
    assert (event.event_id, event.occurred_at, event.version) == (event_id, now, edge.version)
    assert (event.follower_id, event.followee_id) == (ann, bob)


async def test_a_change_without_its_event_is_none(
    postgres: PostgresPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One commit: of an edge without an event nobody would ever hear."""
    follows = PostgresFollows(postgres)
    ann, bob = await add_people(PostgresUsers(postgres), 2)
    before = await follows.follow(bob, ann, fresh_id(), now_ms())

    async def fail(*_: object) -> None:
        raise StoreAway("in between")

    monkeypatch.setattr(postgres_follows, "enqueue", fail)
    for change, edge in ((follows.follow, (ann, bob)), (follows.unfollow, (bob, ann))):
        with pytest.raises(StoreAway):
            await change(*edge, fresh_id(), now_ms())
    assert await follows.edge(ann, bob) is None
    assert await follows.edge(bob, ann) == before


async def test_following_twice_is_following_once(graph: Graph) -> None:
    ann, bob = await add_people(graph.users, 2)
    first = await graph.follows.follow(ann, bob, fresh_id(), 1)
    assert await graph.follows.follow(ann, bob, fresh_id(), 2) == first
    assert len(await graph.events()) == 1


async def test_an_unfollow_leaves_a_newer_tombstone_and_one_event(graph: Graph) -> None:
    ann, bob = await add_people(graph.users, 2)
    followed = await graph.follows.follow(ann, bob, fresh_id(), 1)
    grave = await graph.follows.unfollow(ann, bob, fresh_id(), 2)
    assert grave == Edge(ann, bob, grave.version, following=False, changed_at=2)
    assert grave.version > followed.version
    assert await graph.follows.unfollow(ann, bob, fresh_id(), 3) == grave
    assert [row.topic for row in await graph.events()] == [FOLLOW_CREATED.name, FOLLOW_DELETED.name]
    again = await graph.follows.follow(ann, bob, fresh_id(), 4)
    assert again.version > grave.version


async def test_unfollowing_who_was_never_followed_changes_nothing(graph: Graph) -> None:
    ann, bob = await add_people(graph.users, 2)
    edge = await graph.follows.unfollow(ann, bob, fresh_id(), 1)
    assert (edge.version, edge.following) == (0, False)
    assert await graph.follows.edge(ann, bob) is None
    assert await graph.events() == []


async def test_the_unknown_can_neither_be_followed_nor_unfollowed(graph: Graph) -> None:
    (ann,) = await add_people(graph.users, 1)
    nobody = fresh_id("u_")
    for change in (graph.follows.follow, graph.follows.unfollow):
        with pytest.raises(NotFound):
            await change(ann, nobody, fresh_id(), 1)
        with pytest.raises(NotFound):
            await change(nobody, ann, fresh_id(), 1)
    assert await graph.events() == []


async def test_concurrent_changes_of_one_edge_end_in_one_history(graph: Graph) -> None:
    ann, bob = await add_people(graph.users, 2)
    calls = [
        change(ann, bob, fresh_id(), number)
        for number in range(20)
        for change in (graph.follows.follow, graph.follows.unfollow)
    ]
    await asyncio.gather(*calls)
    rows = sorted(await graph.events(), key=_version)
    kinds = [row.topic for row in rows]
    expected = [(FOLLOW_CREATED.name, FOLLOW_DELETED.name)[n % 2] for n in range(len(rows))]
    assert kinds == expected, "created and deleted take turns in the order of versions"
    last = await graph.follows.edge(ann, bob)
    assert last is not None
    assert (last.version, last.following) == (_version(rows[-1]), len(rows) % 2 == 1)


def _version(row: OutboxRow) -> int:
    topic = FOLLOW_CREATED if row.topic == FOLLOW_CREATED.name else FOLLOW_DELETED
    return topic.codec.decode(row.payload).version


async def _star(graph: Graph, followers: int) -> tuple[str, list[str]]:
    """Someone with so many followers, and one who has left; ids of those who stay, ascending."""
    star, left, *rest = await add_people(graph.users, followers + 2)
    for number, each in enumerate([left, *rest]):
        await graph.follows.follow(each, star, fresh_id(), 1000 + number // 2)
    await graph.follows.unfollow(left, star, fresh_id(), 2000)
    return star, rest


async def test_chunks_cover_the_present_followers_once_and_in_order(graph: Graph) -> None:
    star, followers = await _star(graph, 10)
    bounds = [each async for each in graph.follows.chunk_bounds(star, 4)]
    chunks = [await graph.follows.followers_between(star, *each) for each in bounds]
    assert [len(chunk) for chunk in chunks] == [4, 4, 2]
    assert [each for chunk in chunks for each in chunk] == followers
    assert bounds[0][0] == ""
    assert [after for after, _ in bounds[1:]] == [upto for _, upto in bounds[:-1]]
    assert [each async for each in graph.follows.chunk_bounds(followers[0], 4)] == []


async def test_ids_sort_bytewise(graph: Graph) -> None:
    star, *rest = await add_people(graph.users, 130)
    for each in rest:  # sequence digits run through 0-9, A-Z and a-z
        await graph.follows.follow(each, star, fresh_id(), 1)
        await graph.follows.follow(star, each, fresh_id(), 1)
    assert await graph.follows.followers_between(star, "", "u_zzzzzzzzzzz") == sorted(rest)
    assert await graph.follows.following(star) == sorted(rest)


async def test_pages_of_followers_neither_skip_nor_repeat_with_equal_times(graph: Graph) -> None:
    star, followers = await _star(graph, 9)
    seen: list[str] = []
    before: tuple[int, str] | None = None
    while page := await graph.follows.followers_page(star, before, 2):
        seen += [edge.follower_id for edge in page]
        before = (page[-1].changed_at, page[-1].follower_id)
    assert seen == followers[::-1]


async def test_pages_of_followees_are_newest_first(graph: Graph) -> None:
    ann, *others = await add_people(graph.users, 6)
    for number, each in enumerate(others):
        await graph.follows.follow(ann, each, fresh_id(), 1000 + number // 2)
    await graph.follows.unfollow(ann, others[2], fresh_id(), 3000)
    first = await graph.follows.following_page(ann, None, 3)
    place = (first[-1].changed_at, first[-1].followee_id)
    rest = await graph.follows.following_page(ann, place, 3)
    stayed = [each for each in others if each != others[2]]
    assert [edge.followee_id for edge in first + rest] == stayed[::-1]


async def test_counts_are_of_present_edges(graph: Graph) -> None:
    star, followers = await _star(graph, 3)
    await graph.follows.follow(star, followers[0], fresh_id(), 1)
    assert await graph.follows.counts(star) == (3, 1)
    assert await graph.follows.counts(fresh_id("u_")) == (0, 0)

"""What a process keeps of what it read: no trip while nothing changes, and nothing outdated."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.entities import Counts, FeedEntry
from domain.errors import Transient
from domain.ports.feeds import Shown, ShownPost
from domain.settings import Feed
from stores import redis_kept, redis_shelf, redis_timelines, redis_wire
from stores.redis_cluster import RedisCluster
from stores.redis_commands import KEY, Ask, Template, ask
from stores.redis_follow_cache import RedisFollowCache
from stores.redis_post_cache import RedisPostCache
from stores.redis_reaction_cache import RedisReactionCache
from stores.redis_server import RedisServer
from stores.redis_shelf import RedisShelf
from stores.redis_timelines import RedisTimelines
from stores.redis_wire import Reply
from tests.fresh import fresh_id
from tests.redis_nodes import RedisNode, redis_cluster, redis_nodes

FEED = Feed()
_FOR_HALF_A_SECOND = """
local function now() local at = redis.call('TIME') return at[1] * 1000 + at[2] / 1000 end
local start = now()
while now() < start + 500 do end
"""
EVERYWHERE = [f"barrier{number}" for number in range(64)]
"""Keys of all nodes of a cluster."""


@dataclass
class Process:
    """The caches of one process, and how often they asked."""

    redis: RedisServer
    feed: Feed = FEED
    trips: int = 0
    meanwhile: Callable[[], Awaitable[None]] | None = None
    shelf: RedisShelf = field(init=False)

    def __post_init__(self) -> None:
        self.posts = RedisPostCache(self.redis, self.feed)
        self.reactions = RedisReactionCache(self.redis, self.feed)
        self.follows = RedisFollowCache(self.redis, self.feed)
        self.shelf = RedisShelf(self.redis, self.feed)
        self._ask = self.redis.ask
        self.redis.ask = self._counted  # type: ignore[method-assign] # counts, then asks

    async def _counted(self, *asks: Ask) -> list[list[Reply]]:
        self.trips += 1
        answers = await self._ask(*asks)
        if self.meanwhile is not None:  # the answer has come, its caller doesn't run yet
            change, self.meanwhile = self.meanwhile, None
            await change()
        return answers

    async def hear(self) -> None:
        """A trip to every node: what was changed before it has been told of."""
        await self._ask(ask(Template(("EXISTS", KEY)), EVERYWHERE))

    async def follow(self, viewer: str, followees: Sequence[str]) -> None:
        token = await self.follows.following_token(viewer)
        await self.follows.put_following(viewer, followees, token)


@dataclass
class Scene:
    """A reader, somebody who changes things, somebody who keeps nothing; a page all of it warm."""

    reader: Process
    writer: Process
    plain: Process
    nodes: list[RedisNode]
    viewer: str = field(default_factory=lambda: fresh_id("u_"))
    page: list[FeedEntry] = field(
        default_factory=lambda: [FeedEntry(n, fresh_id("ph_"), fresh_id("u_")) for n in range(4)]
    )

    async def warm(self) -> None:
        """Everything is cached, and the reader has read it until nothing is left to learn."""
        first, *_ = self.page
        for entry in self.page:
            await self.writer.posts.put({entry.post_id: b"{}", entry.author_id: b"{u}"})
            await self.writer.reactions.warm({entry.post_id: (Counts(1), [fresh_id("u_")])})
        await self.writer.reactions.put_likers(first.post_id, [self.viewer])
        await self.writer.follow(self.viewer, [entry.author_id for entry in self.page])
        for _ in range(3):
            await self.reader.shelf.read(self.page, self.viewer)
        await self.reader.hear()

    def known(self) -> Shown | None:
        return self.reader.shelf.known(self.page, self.viewer)

    async def same(self) -> Shown:
        """What the reader sees, which must be what is there."""
        await self.reader.hear()
        shown = self.known() or await self.reader.shelf.read(self.page, self.viewer)
        truth = await self.plain.shelf.read(self.page, self.viewer)
        assert _told(shown) == _told(truth)
        assert shown.clicks == truth.clicks
        if truth.follows is not None:
            assert shown.follows is not None
            assert truth.follows == {e.author_id for e in self.page} & shown.follows
        else:
            assert shown.follows is None
        return truth


def _told(shown: Shown) -> list[ShownPost]:
    """Of what is gone nothing else matters."""
    return [ShownPost(b"") if row.post == b"" else row for row in shown.posts]


@pytest.fixture(scope="module", params=["server", "cluster"])
async def nodes(request: pytest.FixtureRequest) -> AsyncIterator[list[RedisNode]]:
    async with redis_nodes(1) if request.param == "server" else redis_cluster() as started:
        yield started


@pytest.fixture
async def scene(nodes: list[RedisNode]) -> AsyncIterator[Scene]:
    first, *others = nodes
    links = [
        RedisCluster([first.address]) if others else RedisServer.at(first.url) for _ in range(3)
    ]
    nothing = Feed(posts_kept=0)
    reader, writer, plain = map(Process, links, (FEED, nothing, nothing))
    made = Scene(reader, writer, plain, nodes)
    await made.warm()
    yield made
    for link in links:
        await link.close()


async def test_a_warm_page_takes_no_trip(scene: Scene) -> None:
    scene.reader.trips = 0
    shown = scene.known()
    assert shown is not None
    assert shown == await scene.reader.shelf.read(scene.page, scene.viewer)
    assert scene.reader.trips == 1, "reading asks nothing new, but asks"
    assert [row.liked for row in (await scene.same()).posts] == [True, False, False, False]


Change = Callable[[Scene], Awaitable[object]]
CHANGES: dict[str, Change] = {
    "edited": lambda s: s.writer.posts.replace({s.page[1].post_id: b'{"new":1}'}),
    "deleted": lambda s: s.writer.posts.replace({s.page[1].post_id: b""}),
    "evicted": lambda s: s.writer.posts.forget([s.page[1].post_id]),
    "renamed": lambda s: s.writer.posts.replace({s.page[2].author_id: b'{"new":1}'}),
    "counted": lambda s: s.writer.reactions.put_counts(s.page[1].post_id, Counts(40, 7)),
    "liked": lambda s: s.writer.reactions.put_like(s.page[1].post_id, s.viewer, liked=True),
    "unliked": lambda s: s.writer.reactions.put_like(s.page[0].post_id, s.viewer, liked=False),
    "cold likes": lambda s: s.writer.redis.call("DEL", f"likes:{s.page[0].post_id}"),
    "clicked": lambda s: s.writer.reactions.note_click(
        s.page[1].post_id, s.viewer, fresh_id(), liked=True
    ),
    "unfollowed": lambda s: s.writer.follow(s.viewer, [s.page[0].author_id]),
    "cold follows": lambda s: s.writer.follows.forget_following(s.viewer),
    "expired": lambda s: expire(s, f"post:{s.page[1].post_id}"),
    "flushed": lambda s: asyncio.gather(*(node.call("FLUSHALL", "SYNC") for node in s.nodes)),
}


async def expire(scene: Scene, key: str) -> None:
    await scene.writer.redis.call("PEXPIRE", key, 1)
    await asyncio.sleep(0.01)
    await scene.writer.redis.call("GET", key)


@pytest.mark.parametrize("what", CHANGES)
async def test_a_change_is_seen_after_the_next_trip(scene: Scene, what: str) -> None:
    assert scene.known() is not None
    await CHANGES[what](scene)
    await scene.reader.hear()
    assert scene.known() is None
    await scene.same()
    await scene.same()


@pytest.mark.parametrize("what", CHANGES)
async def test_an_answer_that_a_change_overtook_is_not_kept(scene: Scene, what: str) -> None:
    """It had come, and was yet to be noted, when the change was told of."""

    async def change() -> None:
        await CHANGES[what](scene)
        await scene.reader.hear()

    scene.reader.shelf._kept._clear()  # noqa: SLF001 - so that all is asked for
    for _ in range(2):
        scene.reader.meanwhile = change
        await scene.reader.shelf.read(scene.page, scene.viewer)
        await scene.same()


@pytest.mark.parametrize("what", CHANGES)
async def test_one_s_own_changes_are_seen_at_once(scene: Scene, what: str) -> None:
    own = replace(scene, writer=scene.reader)
    await CHANGES[what](own)
    await own.same()


async def test_likers_are_kept_while_they_are_few(scene: Scene) -> None:
    post, many = scene.page[1].post_id, [fresh_id("u_") for _ in range(100)]
    await scene.writer.reactions.put_likers(post, many)
    await scene.writer.reactions.put_counts(post, Counts(len(many)))
    for _ in range(3):
        await scene.same()
        assert scene.known() is None
    await scene.writer.reactions.put_like(post, scene.viewer, liked=True)
    assert (await scene.same()).posts[1].liked
    await scene.writer.reactions.put_likers(post, [])
    await scene.writer.reactions.put_counts(post, Counts())
    for _ in range(3):
        await scene.same()
    assert scene.known() is not None


async def test_nothing_is_believed_for_ever(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    assert scene.known() is not None
    monkeypatch.setattr(redis_kept, "time", SimpleNamespace(monotonic=lambda: now + 1.5))
    assert scene.known() is None, "nothing was heard for a second"
    monkeypatch.setattr(redis_kept, "_SILENCE_S", 1e9)
    for _ in range(2):
        await scene.same()
    assert scene.known() is not None
    monkeypatch.setattr(redis_kept, "time", SimpleNamespace(monotonic=lambda: now + 62.0))
    assert scene.known() is None, "it is a minute old"
    await scene.same()


async def test_what_is_not_heard_any_more_is_let_go(scene: Scene) -> None:
    for node in scene.nodes:
        await node.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await scene.writer.posts.replace({scene.page[1].post_id: b'{"new":1}'})
    await scene.same()


async def test_a_server_that_tells_of_no_changes_is_asked_every_time(scene: Scene) -> None:
    for node in scene.nodes:
        await node.call("ACL", "SETUSER", "default", "-client|tracking")
        await node.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    try:
        for _ in range(3):
            await scene.same()
            assert scene.known() is None
    finally:
        for node in scene.nodes:
            await node.call("ACL", "SETUSER", "default", "+client|tracking")


async def test_reading_renews_what_has_lived_half_its_life(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_shelf, "RENEWING_SHARE", 1)
    post, redis = scene.page[1].post_id, scene.writer.redis
    keys = [f"{kind}:{post}" for kind in ("post", "likes", "counts")]
    for key in keys:
        await redis.call("EXPIRE", key, FEED.post_ttl_s // 2 - 1)
    await redis.call("EXPIRE", f"post:{scene.page[2].post_id}", FEED.post_ttl_s // 2 + 9)
    await scene.plain.shelf.read(scene.page, scene.viewer)
    assert all([await redis.call("TTL", key) >= FEED.post_ttl_s - 1 for key in keys])
    assert await redis.call("TTL", f"post:{scene.page[2].post_id}") < FEED.post_ttl_s - 1


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    deeds=st.lists(
        st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 2), st.booleans()), max_size=12
    )
)
async def test_whatever_happens_readers_see_what_is_there(
    scene: Scene, deeds: list[tuple[str, int, bool]]
) -> None:
    await scene.warm()
    for what, reads, own in deeds:
        acting = replace(scene, writer=scene.reader)
        change = CHANGES[what](acting if own else scene)
        await asyncio.gather(
            change, *(scene.reader.shelf.read(scene.page, scene.viewer) for _ in range(reads))
        )
        await scene.same()


async def test_an_author_a_viewer_was_not_asked_about_is_not_known(scene: Scene) -> None:
    """The posts are kept, for somebody else read them."""
    other, (first, *rest) = fresh_id("u_"), scene.page
    await scene.writer.follow(other, [first.author_id])
    for _ in range(2):
        await scene.reader.shelf.read([first], other)
    assert scene.reader.shelf.known([first], other) is not None
    assert scene.reader.shelf.known(rest, other) is None
    shown = await scene.reader.shelf.read(scene.page, other)
    assert shown.follows == {first.author_id}
    assert scene.reader.shelf.known(scene.page, other) == shown


async def test_a_viewer_who_pages_far_takes_little_memory(scene: Scene) -> None:
    reader, pages = scene.reader.shelf, range(40)
    for _ in pages:
        far = [FeedEntry(n, fresh_id("ph_"), fresh_id("u_")) for n in range(24)]
        shown = await reader.read([*scene.page, *far], scene.viewer)
        assert shown.follows == {entry.author_id for entry in scene.page}
        known = reader._kept.viewer(scene.viewer)  # noqa: SLF001 - what takes memory
        assert len(known.authors) < 200
    await scene.same()


async def test_what_was_renewed_is_not_remembered_without_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_timelines, "_RENEWED_MOST", 100)
    timelines = RedisTimelines(scene.reader.redis, FEED)
    for _ in range(30):
        await timelines.pages([fresh_id("u_") for _ in range(10)], None, 10)
        assert len(timelines._renewed) <= 110  # noqa: SLF001 - what takes memory


async def test_a_server_that_was_busy_when_it_was_greeted_tells_of_changes_later(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_wire, "_TRACK_AGAIN_S", 0.1)
    node, redis = scene.nodes[0], scene.reader.redis
    await node.call("CONFIG", "SET", "busy-reply-threshold", 50)
    await redis.close()
    busy = asyncio.create_task(node.call("EVAL", _FOR_HALF_A_SECOND, 0))
    await asyncio.sleep(0.1)
    with suppress(Transient):
        await scene.reader.hear()
    await busy
    await node.call("CONFIG", "SET", "busy-reply-threshold", 5000)
    await asyncio.sleep(0.2)
    for _ in range(3):
        await scene.same()
    assert scene.known() is not None

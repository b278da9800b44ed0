"""What people and operators do, told to the system and to the oracle; and what is then compared."""

import asyncio
from dataclasses import dataclass, field, replace
from itertools import count

import msgspec

from api.feed.page import Completeness, Page
from domain import post_events
from domain.entities import Cursor, FeedEntry
from schemas.events import LikeCreated, LikeDeleted
from tests.feed_model.oracle import Oracle, Post
from tests.feed_model.ports import Ports, Twins
from tests.feed_model.system import System
from tests.feed_world import above, posted, published
from tests.fresh import fresh_id
from tests.people import add_people
from topics import catalog

AT = 1_800_000_000_000
ALL = 10_000
TRIES = 10
Looks = tuple[str, int, bool]


@dataclass(slots=True)
class Walk:
    """A reader between two pages."""

    viewer: str
    limit: int
    steady: set[str]
    """What has been certain since the first page."""
    before: Cursor | None = None
    seen: list[str] = field(default_factory=list)


class Life:
    """Some people on one system."""

    def __init__(self, ports: Ports, people: list[str]) -> None:
        self.ports = ports
        self.people = people
        self.oracle = Oracle()
        self.system = System(ports, self.oracle)
        self.walks: list[Walk] = []
        self._now = AT
        self._numbers = count(1)
        self._ids: list[str] = []

    @classmethod
    async def begin(cls, ports: Ports, people: int) -> "Life":
        """So many people without a past, and a cache without one."""
        await ports.flush()
        await ports.celebrities.set_threshold(ports.settings.feed.celebrity_threshold)
        return cls(ports, await add_people(ports.users, people))

    # --- people ---------------------------------------------------------------------------------

    async def post(self, author: str, later: int) -> None:
        """Published `later` ms after the last one, often at its very time, or a little before."""
        number = next(self._numbers)
        self._now += later
        words = f"words {number}"
        post = await posted(self.ports.photos, author, self._now, self._photo_id(), words)
        entry = FeedEntry(self._now, post.photo_id, author)
        self.oracle.posts[post.photo_id] = Post(entry, number, post.caption)
        self.system.publish(catalog.POST_PUBLISHED, published(post))

    def _photo_id(self) -> str:
        """Ids are given when an upload begins: their order isn't that of publication."""
        if not self._ids:
            self._ids = [fresh_id("ph_") for _ in range(4)]
        return self._ids.pop()

    async def follow(self, viewer: str, author: str, *, follow: bool, heard: bool) -> None:
        """Follow or unfollow; unheard: the API dies before it invalidates the cache."""
        follows = self.ports.follows
        change = follows.follow if follow else follows.unfollow
        await change(viewer, author, fresh_id(), self._now)
        edge = (viewer, author)
        (self.oracle.follows.add if follow else self.oracle.follows.discard)(edge)
        if heard:
            await self.ports.follow_cache.forget_following(viewer)
        await self.system.relay()
        self._tell(edge, heard=heard)

    async def delete(self, post_id: str, *, heard: bool) -> None:
        """The event is the commit; the rest is a hint that may be lost."""
        photo = await self.ports.photos.get(post_id)
        assert photo is not None
        self.system.publish(catalog.POST_DELETED, post_events.deleted(photo, self._now))
        self.oracle.posts[post_id].live = False
        if heard:
            await self.ports.photos.delete(post_id)
            await self.ports.post_cache.replace({post_id: b""})
        self._tell(post_id, heard=heard)

    def _tell(self, what: tuple[str, str] | str, *, heard: bool) -> None:
        (self.system.unheard.discard if heard else self.system.unheard.add)(what)

    async def edit(self, post_id: str) -> None:
        """Other words."""
        words = f"words {next(self._numbers)}"
        post = await self.ports.photos.revise(post_id, lambda row: replace(row, caption=words))
        if post is not None:
            self.oracle.posts[post_id].words = words
            self.system.publish(catalog.POST_EDITED, post_events.edited(post, self._now))

    async def like(self, user: str, post_id: str, *, liked: bool) -> None:
        """A click; the newest counts."""
        event_id = fresh_id()
        kind, topic = (
            (LikeCreated, catalog.LIKE_CREATED) if liked else (LikeDeleted, catalog.LIKE_DELETED)
        )
        event = kind(
            event_id=event_id,
            occurred_at=self._now,
            version=next(self._numbers),
            post_id=post_id,
            user_id=user,
            author_id=self.oracle.posts[post_id].entry.author_id,
        )
        (self.oracle.likes.add if liked else self.oracle.likes.discard)((user, post_id))
        self.system.publish(topic, event)
        await self.ports.reaction_cache.note_click(post_id, user, event_id, liked=liked)

    # --- operators ------------------------------------------------------------------------------

    async def flag(self, user: str) -> None:
        """A celebrity from now on, whatever the followers."""
        await self.ports.celebrities.flag(user, 0, self._now)
        await self.ports.follow_cache.put_celebrity(user, flagged=True)

    async def clear(self, user: str) -> None:
        """As `photofeed celebrity clear`."""
        await self.ports.celebrities.clear(user)
        await self.ports.follow_cache.put_celebrity(user, flagged=False)

    async def rebuild(self, viewer: str) -> None:
        """From the durable stores, whatever the cache had."""
        await self.ports.timelines.drop(viewer)
        await self.system.reader.home(viewer, None, 1)

    # --- reading --------------------------------------------------------------------------------

    def begin_walk(self, viewer: str, limit: int) -> Walk:
        walk = Walk(viewer, limit, self.oracle.certain(viewer, self.system.doubt()))
        self.walks.append(walk)
        return walk

    def note(self) -> None:
        """Something happened: what is no longer certain needn't be on a later page."""
        doubt = self.system.doubt()
        for walk in self.walks:
            walk.steady &= self.oracle.certain(walk.viewer, doubt)

    async def turn(self, walk: Walk) -> None:
        """Read the next page; after the last one, look at what was seen on all."""
        page = await self._page(walk)
        shown = dict(map(_looks, page.posts))
        assert len(shown) == len(page.posts) <= walk.limit
        self._check_page(walk, shown)
        walk.seen += shown
        walk.before = page.after
        if page.after is None:
            assert walk.steady <= set(walk.seen)
            if walk in self.walks:
                self.walks.remove(walk)
        else:
            assert len(shown) == walk.limit

    async def _page(self, walk: Walk) -> Page:
        """A complete one: a busy server may be too slow for the first try."""
        tries = 1 if isinstance(self.ports, Twins) else TRIES
        while True:
            page = await self.system.reader.home(walk.viewer, walk.before, walk.limit)
            tries -= 1
            if page.completeness is Completeness.COMPLETE or not tries:
                break
            await asyncio.sleep(1)
        assert page.completeness is Completeness.COMPLETE
        return page

    def _check_page(self, walk: Walk, shown: dict[str, Looks]) -> None:
        """Nobody else's, nothing gone, in order, strictly older than the page before."""
        doubt = self.system.doubt()
        assert shown.keys() <= self.oracle.possible(walk.viewer, doubt)
        places = [self.oracle.posts[post_id].entry for post_id in (*walk.seen, *shown)]
        assert places == sorted(set(places), reverse=True)
        for post_id, looks in shown.items():
            if post_id not in doubt.looks:
                assert looks == self.oracle.looks(walk.viewer, post_id)

    async def read_all(self, viewer: str, limit: int) -> list[str]:
        """Every page at once: what is certain is there, and nothing that can't be."""
        walk = Walk(viewer, limit, self.oracle.certain(viewer, self.system.doubt()))
        await self.turn(walk)
        while walk.before is not None:
            await self.turn(walk)
        return walk.seen

    async def check(self) -> None:
        """Settled: all feeds are those of the oracle, by any page size, as sets, and rebuilt."""
        await self.system.settle()
        await self.system.restart_api()
        for viewer in self.people:
            want = [entry.post_id for entry in self.oracle.feed(viewer)]
            for limit in (3, 7, 50):
                assert await self.read_all(viewer, limit) == want
            await self._check_set(viewer)
            await self.rebuild(viewer)
            assert await self.read_all(viewer, 10) == want
            await self._check_set(viewer)

    async def _check_set(self, viewer: str) -> None:
        """Above their floors the feed set, and the lists it pulls, hold what the oracle says."""
        page = await self.ports.timelines.page(viewer, None, ALL)
        assert page is not None
        want = self.oracle.feed(viewer)
        pulled = set(page.celebrities)
        pushed = [entry for entry in want if entry.author_id not in pulled]
        stored = [entry for entry in page.entries if self._shown(viewer, entry)]
        assert [e for e in stored if e.author_id not in pulled] == above(pushed, page.floor)
        assert set(stored) <= set(want)
        for author in pulled:
            if (viewer, author) in self.oracle.follows:
                await self._check_pulls(author)

    async def _check_pulls(self, author: str) -> None:
        page = await self.ports.pulls.page(author, None, ALL)
        if page is not None:
            posts = [post for post in self.oracle.posts.values() if post.live]
            own = sorted((p.entry for p in posts if p.entry.author_id == author), reverse=True)
            stored = [entry for entry in page.entries if self.oracle.posts[entry.post_id].live]
            assert stored == above(own, page.floor)

    def _shown(self, viewer: str, entry: FeedEntry) -> bool:
        live = self.oracle.posts[entry.post_id].live
        return live and (viewer, entry.author_id) in self.oracle.follows


def _looks(post: bytes) -> tuple[str, Looks]:
    """The id of a post of a page, and (words, likes, liked by the viewer)."""
    told = msgspec.json.decode(post)
    return told["post_id"], (told["caption"], told["like_count"], told["liked_by_viewer"])

"""What a process keeps of the posts it read, as long as Redis doesn't tell that they changed.

Redis tells a reader of each key that changes after it was read (client tracking). Whatever a change
concerns is let go: the next reader asks anew, and gets an object of its own, so that an answer
which was on its way when the change came is never kept. On one server a change is told before the
answer to any question that was asked after it: what is kept is then as fresh as the reader's last
trip. On a cluster it is as fresh as a message is fast.

Nothing is kept longer than a minute, nor while a server wasn't heard for a second.
"""

import time
from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace

from domain.entities import Counts, FeedEntry
from domain.ports.feeds import ShownPost
from stores.redis_follow_cache import FOLLOWING
from stores.redis_post_cache import PEOPLE, POSTS
from stores.redis_reaction_cache import CLICKED, COUNTS, LIKES
from stores.redis_server import RedisServer

FEW_LIKERS = 32
"""So many likers of a post are kept; of more Redis is asked whether the viewer is among them."""

_MANY_AUTHORS = 128
"""A viewer who was asked about more of them is forgotten: many who page far would fill memory."""

_LIFE_S = 60.0
_SILENCE_S = 1.0
_GONE = ShownPost(b"")
_PARTS = _POST, _COUNTS, _LIKES = POSTS[:-1], COUNTS[:-1], LIKES[:-1]
_PERSON = PEOPLE[:-1]
_VIEWER = {FOLLOWING[:-1], CLICKED[:-1]}


@dataclass(slots=True, eq=False)
class KeptPerson:
    """A post's author. `ready` are their bytes, None while unknown."""

    user_id: str
    ready: bytes | None = None


@dataclass(slots=True, eq=False)
class KeptPost:
    """A post; what is None isn't known. `few`: it has no more likers than are kept."""

    post_id: str
    person: KeptPerson
    ready: bytes | None = None
    counts: Counts | None = None
    likers: Container[bytes] | None = None
    few: bool = False
    _rows: list[ShownPost | None] = field(init=False, default_factory=lambda: [None, None])

    def without(self, kind: str) -> "KeptPost":
        """Another, that knows all but what this kind of key holds."""
        return replace(
            self,
            ready=None if kind == _POST else self.ready,
            counts=None if kind == _COUNTS else self.counts,
            likers=None if kind == _LIKES else self.likers,
        )

    def seen_by(self, viewer: bytes) -> ShownPost | None:
        """All of it, as one viewer sees it; None while a part isn't known."""
        ready, person, counts, likers = self.ready, self.person.ready, self.counts, self.likers
        if ready is None or person is None or counts is None or likers is None:
            return _GONE if ready == b"" else None
        liked = viewer in likers
        row = self._rows[liked]
        if row is None or row[0] is not ready or row[1] is not person or row[2] is not counts:
            row = self._rows[liked] = ShownPost(ready, person, counts, liked)
        return row


@dataclass(slots=True, eq=False)
class KeptViewer:
    """A viewer: which authors were looked for among those followed, and which of them are there.

    `followed` is None while the follow set isn't known. `calm`: there is no click of late.
    """

    authors: set[str] = field(default_factory=set)
    followed: set[str] | None = None
    calm: bool = False


class Kept:
    """What one process keeps: about `most` posts, people and viewers each; of 0 nothing is kept."""

    def __init__(self, redis: RedisServer, most: int) -> None:
        self._redis = redis
        self._most = most
        self._until = 0.0
        self._posts: dict[str, KeptPost] = {}
        self._people: dict[str, KeptPerson] = {}
        self._viewers: dict[str, KeptViewer] = {}
        if most:
            redis.listen(self._changed)

    def settle(self) -> None:
        """Let go of everything that may not be believed any more; before each reading."""
        now = time.monotonic()
        full = max(len(self._posts), len(self._people), len(self._viewers)) > self._most
        if full or now >= self._until or self._redis.heard_at < now - _SILENCE_S:
            self._clear()
            self._until = now + _LIFE_S

    def post(self, entry: FeedEntry) -> KeptPost:
        """What is known of an entry's post; who asks for the rest fills it in."""
        post, person = self._posts.get(entry.post_id), self._people.get(entry.author_id)
        if person is None:
            person = self._people[entry.author_id] = KeptPerson(entry.author_id)
        if post is None:
            post = self._posts[entry.post_id] = KeptPost(entry.post_id, person)
        elif post.person is not person:
            post.person = person
        return post

    def rows(self, entries: Iterable[FeedEntry], viewer: bytes) -> list[ShownPost] | None:
        """All these posts as one viewer sees them; None while a part of one isn't known."""
        posts, people, rows = self._posts, self._people, []
        for _, post_id, author_id in entries:
            post = posts.get(post_id)
            if post is None or post.person is not people.get(author_id):
                return None
            row = post.seen_by(viewer)
            if row is None:
                return None
            rows.append(row)
        return rows

    def viewer(self, user_id: str) -> KeptViewer:
        """What is known of a viewer; to be filled in as well."""
        viewer = self._viewers.get(user_id)
        if viewer is None or len(viewer.authors) > _MANY_AUTHORS:
            viewer = self._viewers[user_id] = KeptViewer()
        return viewer

    def _clear(self) -> None:
        self._posts, self._people, self._viewers = {}, {}, {}

    def _changed(self, key: bytes | None) -> None:
        """Let go of what a key holds; of everything without a key.

        An object is replaced, never emptied: whoever fills it in still may have the old answer.
        """
        if key is None:
            self._clear()
            return
        kind, _, name = key.decode(errors="replace").partition(":")
        if kind in _PARTS:
            if post := self._posts.get(name):
                self._posts[name] = post.without(kind)
        elif kind == _PERSON:
            self._people.pop(name, None)
        elif kind in _VIEWER:
            self._viewers.pop(name, None)

"""All that a page of posts shows, in one round trip at most (seed sections 7 and 8)."""

import random
from collections.abc import Mapping, Sequence
from itertools import compress

from domain.entities import FeedEntry
from domain.ports.feeds import Shown, ShownPost
from domain.settings import Feed
from stores import redis_follow_cache as graph
from stores import redis_post_cache as cache
from stores import redis_reaction_cache as reactions
from stores.redis_commands import KEY, Ask, Template, ask, ask_each, ask_values
from stores.redis_kept import FEW_LIKERS, Kept, KeptPost, KeptViewer
from stores.redis_server import RedisServer
from stores.redis_wire import Reply

RENEWING_SHARE = 1 / 8
"""Of the trips, which renew the lives of what they ask for. What is read often is renewed in time
almost surely; what isn't may as well be read from the durable stores again."""

_RENEW = "if redis.call('PTTL', KEYS[1]) < {half} then redis.call('EXPIRE', KEYS[1], {life}) end"
"""Only what has lived half of its life: a renewal is a change, of which everybody is told."""

_Liked = tuple[int, int]  # whether the viewer is among the likers, and whether those are all


class RedisShelf:
    """`domain.ports.feeds.Shelf` over Redis. Raises StoreAway or Transient.

    What this process has read already and is still so isn't asked for (`redis_kept`).
    """

    def __init__(self, redis: RedisServer, feed: Feed) -> None:
        self._redis = redis
        self._kept = Kept(redis, feed.posts_kept)
        script = _RENEW.format(half=feed.post_ttl_s * 500, life=feed.post_ttl_s)
        self._renewal = Template(("EVAL", script, 1, KEY))

    def known(self, entries: Sequence[FeedEntry], viewer_id: str) -> Shown | None:
        """All of it, when nothing need be asked for; else None."""
        self._kept.settle()
        me = self._kept.viewer(viewer_id)
        if not me.calm or me.followed is None:
            return None
        if not me.authors.issuperset([entry.author_id for entry in entries]):
            return None
        rows = self._kept.rows(entries, viewer_id.encode())
        return None if rows is None else Shown(rows, {}, me.followed)

    async def read(self, entries: Sequence[FeedEntry], viewer_id: str) -> Shown:
        """Look all of it up; some of the reads also renew the lives of what they asked for."""
        self._kept.settle()
        me, viewer = self._kept.viewer(viewer_id), viewer_id.encode()
        posts = [self._kept.post(entry) for entry in entries]
        authors = [entry.author_id for entry in entries]
        lacking = [post for post in posts if post.seen_by(viewer) is None]
        unread = [post for post in lacking if post.ready is None]
        uncounted = [post for post in lacking if post.counts is None]
        people = list({post.person: None for post in lacking if post.person.ready is None})
        values = [f"{cache.POSTS}{post.post_id}" for post in unread]
        values += [f"{reactions.COUNTS}{post.post_id}" for post in uncounted]
        values += [f"{cache.PEOPLE}{person.user_id}" for person in people]
        few = [post for post in lacking if post.likers is None and post.few]
        many = [post for post in lacking if post.likers is None and not post.few]
        few_likes, many_likes = _likes(few), _likes(many)
        strangers = [name for name in dict.fromkeys(authors) if name not in me.authors]
        renewed = values + few_likes + many_likes if random.random() < RENEWING_SHARE else ()  # noqa: S311 - spreads load, guards nothing

        found, listed, marked, clicked, followed, _ = await self._redis.ask(
            ask_values(values),
            ask(reactions.LIKERS, few_likes),
            ask(reactions.liking(viewer_id), many_likes),
            ask(reactions.CLICKS, [] if me.calm else [reactions.clicked_key(viewer_id)]),
            _followed(viewer_id, strangers if strangers or me.followed is None else None),
            ask(self._renewal, renewed, optional=True),  # a replica refuses it
        )
        rest = iter(found)
        for post in unread:
            post.ready = next(rest)
        for post in uncounted:
            if value := next(rest):
                post.counts = reactions.read_counts(value)
                post.few = post.counts.likes <= FEW_LIKERS
        for person in people:
            person.ready = next(rest)
        liked: dict[KeptPost, _Liked] = dict(zip(many, marked, strict=True))
        for post, members in zip(few, listed, strict=True):
            liked[post] = _noted(post, members, viewer)
        me.calm = not any(clicked)
        return Shown(
            [post.seen_by(viewer) or _row(post, liked, viewer) for post in posts],
            reactions.read_clicks(clicked[0]) if clicked else {},
            _follows(me, strangers, followed),
        )


def _likes(posts: Sequence[KeptPost]) -> list[str]:
    return [f"{reactions.LIKES}{post.post_id}" for post in posts]


def _followed(viewer_id: str, authors: Sequence[str] | None) -> Ask:
    """Asks which of these are followed, and whether that is known; nothing without a list."""
    key = graph.following_key(viewer_id)
    return ask_each({} if authors is None else {key: ("SMISMEMBER", key, graph.WHOLE, *authors)})


def _follows(me: KeptViewer, asked: Sequence[str], replies: Sequence[Reply]) -> set[str] | None:
    """Who is followed, with what was just learnt; None when the follow set is cold."""
    for whole, *follows in replies:
        if not whole:
            return None
        me.authors.update(asked)
        me.followed = (me.followed or set()).union(compress(asked, follows))
    return me.followed


def _noted(post: KeptPost, members: Sequence[bytes], viewer: bytes) -> _Liked:
    """Keep a post's likers if these are all of them, and few."""
    whole = reactions.WHOLE.encode() in members
    if whole and len(members) <= 2 * FEW_LIKERS:
        post.likers = frozenset(members)
    return viewer in members, whole


def _row(post: KeptPost, liked: Mapping[KeptPost, _Liked], viewer: bytes) -> ShownPost:
    """What a reader sees of a post that isn't known whole; likes only of a whole set."""
    likers = post.likers
    marked, whole = liked.get(post, (0, 0)) if likers is None else (viewer in likers, 1)
    counts = post.counts if whole else None
    return ShownPost(post.ready, post.person.ready, counts, bool(marked) and counts is not None)

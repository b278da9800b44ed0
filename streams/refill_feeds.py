"""follow.created, follow.deleted → Redis `feed:{user_id}`, `following:{user_id}`.

Brings a new followee's recent posts into the follower's feed, with the mark to pull further ones
if they are pulled, and takes a former one's out.

An event only says that an edge changed; what holds is read from the graph, applied, and read
again until it stands still. So late, repeated and overtaken events all end in the same feed, and
a removal that a refollow overtook is made good by whoever removed.

Why a follow (F, its commit) and a concurrent post (P, its row) can't miss each other. Fan-out
reads the followers at R, after P; this stage reads the posts at B, after F.

* F before R: fan-out finds the follower and pushes.
* R before F: then P < R < F < B, and the backfill finds the post.

The same holds for the beginning of pulling (in P's place) and its marks.

If the feed is being built, both reach it: it exists from the `building` mark on, and the builder
reads its sources after that mark. If it doesn't exist when this stage looks, a later builder reads
the graph after F and the posts after P. What is pushed or refilled for an edge that is gone again
is filtered on reading (`domain.visibility`), and never counts: the floor, not the size of the set,
says where the feed continues in the durable store.
"""

from collections.abc import Sequence
from typing import Protocol

from domain.entities import Edge
from domain.ports.feeds import Timelines
from domain.ports.graph import Celebrities, FollowCache, Follows
from domain.ports.photos import Photos
from schemas.events import FollowCreated, FollowDeleted
from streams.runtime.stage import Emit


class RefillStores(Protocol):
    """The ports that a feed follows from."""

    @property
    def follows(self) -> Follows:
        """The graph."""

    @property
    def follow_cache(self) -> FollowCache:
        """Cached follow sets."""

    @property
    def celebrities(self) -> Celebrities:
        """Whose posts are pulled."""

    @property
    def photos(self) -> Photos:
        """Posts by their author."""

    @property
    def timelines(self) -> Timelines:
        """The feeds."""


class RefillFeeds:
    """The handler of both follow events."""

    def __init__(self, stores: RefillStores, cap: int) -> None:
        self._follow_cache = stores.follow_cache
        self._follows = stores.follows
        self._timelines = stores.timelines
        self._photos = stores.photos
        self._celebrities = stores.celebrities
        self._cap = cap

    async def __call__(self, event: FollowCreated | FollowDeleted) -> Sequence[Emit]:
        """Make the feed agree with the edge as it is now. Raises StoreAway, Transient."""
        await self._follow_cache.forget_following(event.follower_id)
        applied: Edge | None = None
        while True:
            edge = await self._follows.edge(event.follower_id, event.followee_id)
            if edge is None or edge == applied:
                return ()
            await self._apply(edge)
            applied = edge

    async def _apply(self, edge: Edge) -> None:
        follower, followee, timelines = edge.follower_id, edge.followee_id, self._timelines
        if not await timelines.exists(follower):
            return
        if not edge.following:
            await timelines.remove_author(follower, followee)
            return
        posts = await self._photos.by_user(followee, None, self._cap)
        await timelines.add_entries(follower, posts)
        if await self._celebrities.pulled_among([followee]):
            await timelines.mark_celebrity(followee, [follower])

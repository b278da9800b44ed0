"""Why a post is in somebody's feed, or why it isn't: one reason of a closed set. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from domain.entities import Delivery, Edge, FanOut, Photo, PhotoStatus
from domain.feed_view import Sight


class How(StrEnum):
    """The way a post came into a feed; `rebuild` is any reading of the durable stores."""

    PUSH = "push"
    PULL = "pull"
    REBUILD = "rebuild"


class Reason(StrEnum):
    """Every answer there is. The first six are of posts in the feed, and so is `ghost`."""

    PUSHED = "pushed"
    PULLED = "pulled"
    BUILT = "built"
    BACKFILLED = "backfilled"
    COLD_FEED = "cold_feed"
    BELOW_FLOOR = "below_floor"
    OWN_POST = "own_post"
    NOT_PUBLISHED = "not_published"
    DELETED = "deleted"
    NEVER_FOLLOWED = "never_followed"
    UNFOLLOWED = "unfollowed"
    PENDING = "pending"
    LOST = "lost"
    GHOST = "ghost"


MEANINGS = {
    Reason.PUSHED: "fan-out wrote it into the feed",
    Reason.PULLED: "the author has so many followers that readers pull their posts",
    Reason.BUILT: "the feed was built from the stores after the post's fan-out",
    Reason.BACKFILLED: "the viewer followed the author after the post was published",
    Reason.COLD_FEED: "the feed isn't cached; the next read builds it, this post included",
    Reason.BELOW_FLOOR: "older than the cached part of the feed; read from the stores",
    Reason.OWN_POST: "own posts are not in one's feed",
    Reason.NOT_PUBLISHED: "it isn't published",
    Reason.DELETED: "it was deleted",
    Reason.NEVER_FOLLOWED: "the viewer has never followed the author",
    Reason.UNFOLLOWED: "the viewer no longer follows the author",
    Reason.PENDING: "it belongs in the feed and is on its way",
    Reason.LOST: "it belongs in the feed and isn't there: a rebuild brings it back",
    Reason.GHOST: "it is shown and doesn't belong in the feed: a rebuild takes it out",
}
"""Each reason in words."""

_IN_FEED = frozenset(
    {
        Reason.PUSHED,
        Reason.PULLED,
        Reason.BUILT,
        Reason.BACKFILLED,
        Reason.COLD_FEED,
        Reason.BELOW_FLOOR,
        Reason.GHOST,
    }
)
_HOW = {
    Reason.PUSHED: How.PUSH,
    Reason.PULLED: How.PULL,
    Reason.BUILT: How.REBUILD,
    Reason.BACKFILLED: How.REBUILD,
    Reason.COLD_FEED: How.REBUILD,
    Reason.BELOW_FLOOR: How.REBUILD,
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the stores hold of one post and one viewer.

    `sight` is where the viewer meets the post if it belongs in their feed (`domain.feed_view`),
    None if it doesn't; `stranger` says that the caches show it all the same. `built_at` is when the
    feed was built, Unix milliseconds, 0 for a cold one.
    """

    viewer_id: str
    post: Photo
    edge: Edge | None
    sight: Sight | None
    stranger: bool = False
    built_at: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer (contract, GET /feed/explain); `at` is Unix milliseconds."""

    post_id: str
    in_feed: bool
    how: How | None
    reason: Reason
    at: int | None
    event_id: str | None


def belongs(viewer_id: str, post: Photo, edge: Edge | None) -> bool:
    """Whether the durable stores say that a post is in somebody's feed."""
    live = post.status is PhotoStatus.PUBLISHED and post.user_id != viewer_id
    return live and edge is not None and edge.following


def explain(facts: Facts, *, under_way: bool) -> Explanation:
    """Say why. `under_way`: an event that would change the answer hasn't been handled yet."""
    theirs = belongs(facts.viewer_id, facts.post, facts.edge)
    reason = _present(facts, under_way) if theirs else _absent(facts, under_way)
    fan_out = facts.post.fan_out
    return Explanation(
        post_id=facts.post.photo_id,
        in_feed=reason in _IN_FEED,
        how=_HOW.get(reason),
        reason=reason,
        at=_at(facts, reason, fan_out),
        event_id=fan_out.event_id if fan_out else None,
    )


def _absent(facts: Facts, under_way: bool) -> Reason:
    """Of a post that doesn't belong in the feed."""
    if facts.stranger and not under_way:
        return Reason.GHOST
    if facts.post.status is PhotoStatus.DELETED:
        return Reason.DELETED
    if facts.post.status is not PhotoStatus.PUBLISHED:
        return Reason.NOT_PUBLISHED
    if facts.post.user_id == facts.viewer_id:
        return Reason.OWN_POST
    return Reason.NEVER_FOLLOWED if facts.edge is None else Reason.UNFOLLOWED


def _present(facts: Facts, under_way: bool) -> Reason:
    """Of a post that belongs in the feed."""
    match facts.sight:
        case Sight.COLD_FEED:
            return Reason.COLD_FEED
        case Sight.BELOW_FLOOR:
            return Reason.BELOW_FLOOR
        case Sight.IN_LIST | Sight.COLD_LIST:
            return Reason.PULLED
        case Sight.IN_SET:
            return _written(facts)
        case _:
            return Reason.PENDING if under_way else Reason.LOST


def _written(facts: Facts) -> Reason:
    """Of a post that is in the set: who wrote it there first."""
    fan_out, published_at = facts.post.fan_out, facts.post.published_at or 0
    delivered_at = fan_out.decided_at if fan_out else published_at
    if facts.edge is not None and facts.edge.changed_at > delivered_at:
        return Reason.BACKFILLED
    if facts.built_at > delivered_at:
        return Reason.BUILT
    pulled = fan_out is not None and fan_out.delivery is Delivery.PULL
    return Reason.BUILT if pulled else Reason.PUSHED


def _at(facts: Facts, reason: Reason, fan_out: FanOut | None) -> int | None:
    """When what the reason says came to be; None when nobody wrote that down."""
    if reason in (Reason.BACKFILLED, Reason.UNFOLLOWED):
        return facts.edge.changed_at if facts.edge else None
    if reason is Reason.BUILT:
        return facts.built_at or None
    if reason in (Reason.PUSHED, Reason.PULLED):
        return fan_out.decided_at if fan_out else facts.post.published_at
    if reason in (Reason.PENDING, Reason.LOST):
        return facts.post.published_at
    return None

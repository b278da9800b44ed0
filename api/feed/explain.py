"""GET /feed/explain: why a post is in the viewer's feed, or why not."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api.deps import Api, Deps, Viewer
from api.feed.facts import facts_of
from api.problems import not_found
from domain import ids
from domain.entities import Photo, PhotoStatus
from domain.feed_audit import FRESH_MS
from domain.feed_explain import Facts, How, Reason, explain
from domain.post_json import rfc3339

router = APIRouter(tags=["feed"])
_POSTS = frozenset({PhotoStatus.PUBLISHED, PhotoStatus.DELETED})


class Explained(BaseModel):
    """`how` is null for what isn't in the feed; `at` is when what the reason says came to be."""

    post_id: str
    in_feed: bool
    how: How | None
    reason: Reason
    at: str | None
    event_id: str | None


@router.get("/feed/explain")
async def feed_explain(api: Api, viewer: Viewer, post_id: Annotated[str, Query()]) -> Explained:
    """Why a post is in one's feed, by which way and event, or why it isn't."""
    post = await _post(api, post_id)
    if post is None or not _may_ask(viewer, post):
        raise not_found("post")
    facts = await facts_of(api.stores, viewer, post, api.breakers)
    answer = explain(facts, under_way=_under_way(facts, api.now_ms()))
    return Explained(
        post_id=post_id,
        in_feed=answer.in_feed,
        how=answer.how,
        reason=answer.reason,
        at=None if answer.at is None else rfc3339(answer.at),
        event_id=answer.event_id,
    )


async def _post(deps: Deps, post_id: str) -> Photo | None:
    """The row, if there is one. Raises StoreAway, Transient."""
    if not ids.is_id(post_id, "ph_"):
        return None
    return await deps.breakers["cassandra"].run(deps.stores.photos.get, post_id)


def _may_ask(viewer: str, post: Photo) -> bool:
    """Of another person's uploads only what became a post is anybody's business."""
    return post.user_id == viewer or (post.status in _POSTS and post.published_at is not None)


def _under_way(facts: Facts, now: int) -> bool:
    """Whether the post or the follow is so young, or its fan-out hasn't begun."""
    changed_at = facts.edge.changed_at if facts.edge else 0
    live = facts.post.status is PhotoStatus.PUBLISHED
    newest = max(facts.post.published_at or 0 if live else 0, changed_at)
    return newest > now - FRESH_MS or (live and facts.post.fan_out is None)

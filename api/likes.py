"""Likes. Kafka's acknowledgement is the commit; until it is counted, its viewer sees it."""

from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from api.deps import Api, Deps, PostId, Viewer, trace_headers
from api.people import Person, people
from api.posts import live_post
from api.wire import PAGE, CursorText, Limit, place
from domain import cursors, ids
from domain.clicks import with_click
from domain.entities import Counts
from domain.errors import Transient
from topics.catalog import LIKE_CREATED, LIKE_DELETED
from topics.topic import Topic

router = APIRouter(tags=["likes"])

_TOPIC: dict[bool, Topic[Any]] = {True: LIKE_CREATED, False: LIKE_DELETED}


class Like(BaseModel):
    """Whether the viewer likes a post, and how many do."""

    post_id: str
    liked_by_viewer: bool
    like_count: int


class Likers(BaseModel):
    """A page of people who like a post."""

    users: list[Person]
    next_cursor: str | None
    has_more: bool


@router.post("/likes/{post_id}")
async def like(api: Api, request: Request, viewer: Viewer, post_id: PostId) -> Like:
    """Like a post; twice is once."""
    return await _change(api, request, viewer, post_id, liked=True)


@router.delete("/likes/{post_id}")
async def unlike(api: Api, request: Request, viewer: Viewer, post_id: PostId) -> Like:
    """Take a like back; twice is once."""
    return await _change(api, request, viewer, post_id, liked=False)


@router.get("/likes/{post_id}")
async def likers(
    api: Api, post_id: PostId, limit: Limit = PAGE, cursor: CursorText = None
) -> Likers:
    """Who likes a post."""
    await live_post(api, post_id)
    kind = f"likes:{post_id}"
    after = next((str(part) for part in place(kind, (str,), cursor)), None)
    found = await api.stores.reactions.likers_page(post_id, after, limit + 1)
    shown, more = found[:limit], len(found) > limit
    known = await people(api, shown)
    return Likers(
        users=[known[user_id] for user_id in shown if user_id in known],
        next_cursor=cursors.encode(kind, shown[-1]) if more else None,
        has_more=more,
    )


async def _change(deps: Deps, request: Request, viewer: str, post_id: str, *, liked: bool) -> Like:
    """Commit the click; the answer is what was counted before, with the click."""
    post = await live_post(deps, post_id)
    before = await _before(deps, viewer, post_id)
    event_id = deps.stores.ids.next_id()
    topic = _TOPIC[liked]
    event = topic.event(
        event_id=event_id,
        occurred_at=deps.now_ms(),
        version=ids.read(event_id),
        post_id=post_id,
        user_id=viewer,
        author_id=post.user_id,
    )
    await deps.stores.events.publish(topic, event, trace_headers(request))
    with suppress(Transient):
        await deps.stores.reaction_cache.note_click(post_id, viewer, event_id, liked=liked)
    counts, _ = with_click(before[0], liked, liked=before[1])
    return Like(post_id=post_id, liked_by_viewer=liked, like_count=counts.likes)


async def _before(deps: Deps, viewer: str, post_id: str) -> tuple[Counts, bool]:
    """What is counted so far, and whether the viewer is among it: hot, else durable."""
    with suppress(Transient):
        [(hot, liked)] = await deps.stores.reaction_cache.get([post_id], viewer)
        if hot is not None:
            return hot, liked
    with suppress(Transient):
        counts = await deps.stores.reactions.get_counts([post_id])
        had = await deps.stores.reactions.has_liked([post_id], viewer)
        return counts.get(post_id, Counts()), post_id in had
    return Counts(), False

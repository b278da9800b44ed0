"""One's own posts: edit and delete.

Of a deletion Kafka's acknowledgement is the commit; the tombstone is written at once as a hint, and
by `retire_posts` for good. An edit is in the row, one version newer, before its event is published:
a call that breaks off in between is repeated by its client and publishes the same event.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Literal

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from api.deps import Api, Deps, PostId, Viewer, trace_headers
from api.photo_shapes import Tags
from api.posts import Post, ready_posts
from api.problems import GONE, Problem, not_found
from api.wire import AltText, Body, Caption
from domain import post_events
from domain.entities import FeedEntry, Photo, PhotoStatus
from domain.errors import StoreAway, Transient
from topics.catalog import POST_DELETED, POST_EDITED

router = APIRouter(tags=["posts"])
_POSTS = frozenset({PhotoStatus.PUBLISHED, PhotoStatus.DELETED})


class Edit(Body):
    """What is said about a post; only what is given changes."""

    caption: Caption | None = None
    tags: Tags | None = None
    alt_text: AltText | None = None


class Deleted(BaseModel):
    """A post that is on its way out of every feed, profile, search and the edge."""

    post_id: str
    status: Literal["deleted"] = "deleted"


@router.patch("/posts/{post_id}", response_model=Post)
async def edit(api: Api, request: Request, viewer: Viewer, post_id: PostId, new: Edit) -> Response:
    """Change what is said about one's own post. The answer has it; lists follow in a second."""
    await _own(api, viewer, post_id)
    post = await api.stores.photos.revise(post_id, lambda stored: _worded(stored, new))
    if post is None:
        raise Problem(GONE, "the post was deleted")
    event = post_events.edited(post, api.now_ms())
    await api.stores.events.publish(POST_EDITED, event, trace_headers(request))
    entry = FeedEntry(post.published_at or 0, post_id, viewer)
    shown, _ = await ready_posts(api, viewer, [entry])
    if not shown:
        raise StoreAway("the author can't be read")
    words = {"caption": post.caption, "tags": post.tags, "alt_text": post.alt_text}
    body = msgspec.json.encode(msgspec.json.decode(shown[0]) | words)
    return Response(body, media_type="application/json")


@router.delete("/posts/{post_id}", status_code=202)
async def delete(api: Api, request: Request, viewer: Viewer, post_id: PostId) -> Deleted:
    """Delete one's own post, with its pictures. Twice is once."""
    post = await _own(api, viewer, post_id)
    if post.status is PhotoStatus.PUBLISHED:
        event = post_events.deleted(post, api.now_ms())
        await api.stores.events.publish(POST_DELETED, event, trace_headers(request))
        api.feeds.last.post_deleted(post_id)
        with suppress(Transient):
            await api.stores.photos.delete(post_id)
            await api.stores.post_cache.replace({post_id: b""})
    return Deleted(post_id=post_id)


async def _own(deps: Deps, viewer: str, post_id: str) -> Photo:
    """The viewer's own post, live or deleted. Raises Problem (404), the same for another's."""
    photo = await deps.stores.photos.get(post_id)
    if photo is None or photo.user_id != viewer or photo.status not in _POSTS:
        raise not_found("post")
    return photo


def _worded(post: Photo, new: Edit) -> Photo:
    """The post with the words that were given."""
    return replace(
        post,
        caption=post.caption if new.caption is None else new.caption,
        tags=post.tags if new.tags is None else tuple(new.tags),
        alt_text=post.alt_text if new.alt_text is None else new.alt_text,
    )

"""Comments. Kafka's acknowledgement is the commit; the row is written at once as a hint.

The stage writes the same row with the same version, so which of them comes first doesn't matter.
"""

from contextlib import suppress
from dataclasses import replace

from fastapi import APIRouter, Request
from pydantic import BaseModel

from api.deps import Api, CommentId, PostId, Viewer, trace_headers
from api.front.idempotency import same_id
from api.people import Person, people
from api.posts import live_post
from api.problems import FORBIDDEN, UNAUTHENTICATED, Problem, not_found
from api.wire import PAGE, Body, CommentText, CursorText, Limit, place
from domain import cursors, ids
from domain.entities import Comment
from domain.errors import Transient
from domain.post_json import rfc3339
from schemas.events import CommentCreated, CommentDeleted
from topics.catalog import COMMENT_CREATED, COMMENT_DELETED

router = APIRouter(tags=["comments"])


class NewComment(Body):
    """What somebody says."""

    text: CommentText


class ShownComment(BaseModel):
    """A comment and who wrote it."""

    comment_id: str
    post_id: str
    user: Person
    text: str
    created_at: str


class CommentPage(BaseModel):
    """A page of comments, newest first."""

    comments: list[ShownComment]
    next_cursor: str | None
    has_more: bool


@router.post("/posts/{post_id}/comments", status_code=201)
async def comment(
    api: Api, request: Request, viewer: Viewer, post_id: PostId, new: NewComment
) -> ShownComment:
    """Comment on a post."""
    post = await live_post(api, post_id)
    author = (await people(api, [viewer])).get(viewer)
    if author is None:
        raise Problem(UNAUTHENTICATED, "the account is gone")
    comment_id = await same_id(api, request, "cm_")
    made = Comment(comment_id, post_id, viewer, new.text, ids.time_of(comment_id))
    event = CommentCreated(
        event_id=ids.derived(comment_id.removeprefix("cm_"), "created"),
        occurred_at=made.created_at,
        version=ids.read(comment_id),
        comment_id=comment_id,
        post_id=post_id,
        user_id=viewer,
        author_id=post.user_id,
        text=new.text,
    )
    await api.stores.events.publish(COMMENT_CREATED, event, trace_headers(request))
    with suppress(Transient):
        await api.stores.reactions.set_comment(made, event.version)
    return _shown(made, author)


@router.get("/posts/{post_id}/comments")
async def comments(
    api: Api, post_id: PostId, limit: Limit = PAGE, cursor: CursorText = None
) -> CommentPage:
    """The comments on a post, newest first."""
    await live_post(api, post_id)
    kind = f"comments:{post_id}"
    before = next((str(part) for part in place(kind, (str,), cursor)), None)
    found = await api.stores.reactions.comments_page(post_id, before, limit + 1)
    page, more = found[:limit], len(found) > limit
    authors = await people(api, (each.user_id for each in page))
    return CommentPage(
        comments=[_shown(each, authors[each.user_id]) for each in page if each.user_id in authors],
        next_cursor=cursors.encode(kind, page[-1].comment_id) if more else None,
        has_more=more,
    )


@router.delete("/comments/{comment_id}", status_code=204)
async def uncomment(api: Api, request: Request, viewer: Viewer, comment_id: CommentId) -> None:
    """Take a comment away: its writer or the post's author may. Twice is once for them."""
    reactions = api.stores.reactions
    post_id = await reactions.comment_post(comment_id)
    found = post_id and await reactions.get_comment(post_id, comment_id)
    if not post_id or not found:
        raise not_found("comment")
    post = await api.stores.photos.get(post_id)
    author_id = post.user_id if post else ""
    if viewer not in {found.user_id, author_id}:
        raise not_found("comment") if found.deleted else Problem(FORBIDDEN)
    if found.deleted:
        return
    event_id = api.stores.ids.next_id()
    event = CommentDeleted(
        event_id=event_id,
        occurred_at=api.now_ms(),
        version=ids.read(event_id),
        comment_id=comment_id,
        post_id=post_id,
        user_id=found.user_id,
        author_id=author_id,
    )
    await api.stores.events.publish(COMMENT_DELETED, event, trace_headers(request))
    with suppress(Transient):
        await reactions.set_comment(replace(found, deleted=True), event.version)


def _shown(made: Comment, author: Person) -> ShownComment:
    return ShownComment(
        comment_id=made.comment_id,
        post_id=made.post_id,
        user=author,
        text=made.text,
        created_at=rfc3339(made.created_at),
    )

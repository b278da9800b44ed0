"""The feed's routes as OpenAPI sees them; `hot_path.py` and `stream.py` serve them as bytes."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response

from api.deps import UserId, Viewer
from api.feed.hot_path import GRID_PAGE
from api.posts import PostPage
from api.wire import PAGE, CursorText, Limit

router = APIRouter(tags=["feed"])


_UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The first page is still the one with this tag."}
}
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


@router.get("/feed", response_model=PostPage, responses=_UNCHANGED)
def feed(
    viewer: Viewer,
    limit: Limit = PAGE,
    cursor: CursorText = None,
    order: Annotated[Literal["recent"], Query()] = "recent",
    if_none_match: Annotated[str | None, Header()] = None,
) -> None:
    """The viewer's home feed, newest first. The first page has an ETag."""


@router.get("/feed/stream", response_class=Response, responses=_EVENTS)
def stream(viewer: Viewer, last_event_id: Annotated[str | None, Header()] = None) -> None:
    """Server-sent events `new_posts` with data `{"new_posts": n}`: so many since the one before."""


@router.get("/users/{user_id}/feed", response_model=PostPage)
def grid(
    viewer: Viewer, user_id: UserId, limit: Limit = GRID_PAGE, cursor: CursorText = None
) -> None:
    """A person's own posts, newest first."""

"""The two hot routes as OpenAPI sees them; `api/feed.py` serves them as plain bytes."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from api.deps import UserId, Viewer
from api.posts import PostPage
from api.wire import PAGE, CursorText, Limit

GRID = 12
router = APIRouter(tags=["feed"])


@router.get("/feed", response_model=PostPage)
def feed(
    viewer: Viewer,
    limit: Limit = PAGE,
    cursor: CursorText = None,
    order: Annotated[Literal["recent"], Query()] = "recent",
) -> None:
    """The viewer's home feed, newest first."""


@router.get("/users/{user_id}/feed", response_model=PostPage)
def grid(viewer: Viewer, user_id: UserId, limit: Limit = GRID, cursor: CursorText = None) -> None:
    """A person's own posts, newest first."""

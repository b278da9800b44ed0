"""GET /feed and GET /users/{id}/feed: the hot path, bytes joined without a serializer."""

from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.feed_page import Page
from api.feed_reader import FeedReader
from api.problems import invalid, not_found
from api.wire import place
from domain import cursors, ids
from domain.entities import Cursor
from domain.post_json import join_page

_FEED, _GRID = "feed", "grid"
_PLACE = (int, str)
_FEED_LIMIT, _GRID_LIMIT, _MOST = 20, 12, 100
_LIMIT_TEXT = frozenset(str(n) for n in range(1, _MOST + 1))


class FeedDeps(Protocol):
    """What the two routes need."""

    @property
    def feed_reader(self) -> FeedReader:
        """Reads the pages."""

    def authenticate(self, request: Request) -> str:
        """The viewer's id. Raises Problem (401)."""


def routes(deps: FeedDeps) -> list[Route]:
    """The two routes, to be mounted ahead of the others."""

    async def feed(request: Request) -> Response:
        viewer_id = deps.authenticate(request)
        if request.query_params.get("order", "recent") != "recent":
            raise invalid("order", "only recent is known", "query")
        before, limit = _before(request, _FEED), _limit(request, _FEED_LIMIT)
        return _answer(await deps.feed_reader.home(viewer_id, before, limit), _FEED)

    async def grid(request: Request) -> Response:
        viewer_id = deps.authenticate(request)
        user_id = request.path_params["user_id"]
        kind = f"{_GRID}:{user_id}"
        before, limit = _before(request, kind), _limit(request, _GRID_LIMIT)
        page = None
        if ids.is_id(user_id, "u_"):
            page = await deps.feed_reader.grid(user_id, viewer_id, before, limit)
        if page is None:
            raise not_found("user")
        return _answer(page, kind)

    return [Route("/feed", feed), Route("/users/{user_id}/feed", grid)]


def _answer(page: Page, kind: str) -> Response:
    after = page.after
    cursor = None if after is None else cursors.encode(kind, after.published_at, after.post_id)
    body = join_page(page.posts, cursor, page.completeness)
    return Response(body, media_type="application/json")


def _before(request: Request, kind: str) -> Cursor | None:
    """The cursor of a page. Raises Problem (422)."""
    parts = place(kind, _PLACE, request.query_params.get("cursor"))
    if not parts:
        return None
    published_at, post_id = parts
    if not ids.is_id(str(post_id), "ph_"):
        raise invalid("cursor", "not a cursor of this list", "query")
    return Cursor(int(published_at), str(post_id))


def _limit(request: Request, default: int) -> int:
    """How many posts. Raises Problem (422) outside 1 to 100."""
    text = request.query_params.get("limit", str(default))
    if text not in _LIMIT_TEXT:
        raise invalid("limit", f"a number from 1 to {_MOST}", "query")
    return int(text)

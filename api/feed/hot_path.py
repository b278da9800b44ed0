"""GET /feed and GET /users/{id}/feed: the hot path, bytes joined without a serializer."""

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Protocol

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from xxhash import xxh3_128_hexdigest

from api.feed.ladder import Ladder
from api.feed.page import Page
from api.problems import Problem, invalid, not_found
from api.wire import MOST, PAGE, place
from domain import cursors, ids
from domain.entities import Cursor
from domain.post_json import join_page

PATH = "/feed"
_HOME, _GRID = "feed:recent", "grid"  # a cursor's list tells its order, so that others can come
_HOME_BEFORE_ORDERS = "feed"  # as cursors of the home feed were spelled; they mean the same
_PLACE = (int, str)
GRID_PAGE = 12
_LIMIT_TEXT = frozenset(str(n) for n in range(1, MOST + 1))
_JSON = (b"content-type", b"application/json")
_OWN = ((b"cache-control", b"private, no-cache"), (b"vary", b"authorization"))
_SHORT = 512  # bytes of a query string that is worth remembering


class FeedDeps(Protocol):
    """What the two routes need."""

    @property
    def feeds(self) -> Ladder:
        """Reads the pages."""

    def viewer(self, state: Mapping[str, Any]) -> str:
        """The viewer's id from a call's state. Raises Problem (401)."""


class HomeFeed:
    """GET /feed as a bare ASGI application: what a call goes through costs more than its page."""

    def __init__(self, deps: FeedDeps) -> None:
        self._deps = deps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - a GET has no body
        """Answer one page. Raises Problem."""
        viewer_id = self._deps.viewer(scope["state"])
        query = scope["query_string"]
        before, limit = (_asked if len(query) <= _SHORT else _read_query)(query)
        page = await self._deps.feeds.home(viewer_id, before, limit)
        body = _body(page, _HOME)
        status, headers = 200, [_JSON, (b"content-length", b"%d" % len(body))]
        if before is None:
            tag = b'"%b"' % xxh3_128_hexdigest(body).encode()
            if _matches(scope["state"]["sent"].get(b"if-none-match"), tag):
                status, headers, body = 304, [], b""
            headers += [(b"etag", tag), *_OWN]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class HotPath:
    """Answers GET /feed before the framework looks for its route, and hands on all else."""

    def __init__(self, app: ASGIApp, deps: FeedDeps) -> None:
        self._app = app
        self._route = _home(deps)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "GET":
            scope["route"] = self._route
            try:
                await self._route.app(scope, receive, send)
            except Problem as problem:  # an answer like others: who counts refusals must see it
                await problem.response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def routes(deps: FeedDeps) -> list[Route]:
    """The two routes; the first is for HEAD and what isn't allowed."""

    async def grid(request: Request) -> Response:
        viewer_id = deps.viewer(request.scope["state"])
        user_id = request.path_params["user_id"]
        kind = f"{_GRID}:{user_id}"
        query = request.query_params
        before, limit = _before(query, kind), _limit(query, GRID_PAGE)
        page = None
        if ids.is_id(user_id, "u_"):
            page = await deps.feeds.grid(user_id, viewer_id, before, limit)
        if page is None:
            raise not_found("user")
        return Response(_body(page, kind), media_type="application/json")

    return [_home(deps), Route("/users/{user_id}/feed", grid)]


def _home(deps: FeedDeps) -> Route:
    return Route(PATH, HomeFeed(deps), methods=["GET"])


def _body(page: Page, kind: str) -> bytes:
    after = page.after
    cursor = None if after is None else cursors.encode(kind, after.published_at, after.post_id)
    return join_page(page.posts, cursor, page.completeness)


def _matches(given: bytes | None, tag: bytes) -> bool:
    """Whether If-None-Match (RFC 9110, 13.1.2) names this tag, weakly compared."""
    if given is None:
        return False
    return any(each.strip().removeprefix(b"W/") in (tag, b"*") for each in given.split(b","))


def _read_query(query_string: bytes) -> tuple[Cursor | None, int]:
    """Where a page of the home feed starts and how long it is. Raises Problem (422)."""
    query = QueryParams(query_string)
    if query.get("order", "recent") != "recent":
        raise invalid("order", "only recent is known", "query")
    return _before(query, _HOME, _HOME_BEFORE_ORDERS), _limit(query, PAGE)


_asked = lru_cache(maxsize=1024)(_read_query)


def _before(query: QueryParams, *kinds: str) -> Cursor | None:
    """The cursor of a page, in one of these spellings. Raises Problem (422)."""
    *newer, oldest = kinds
    for kind in newer:
        with suppress(Problem):
            return _place(kind, query)
    return _place(oldest, query)


def _place(kind: str, query: QueryParams) -> Cursor | None:
    parts = place(kind, _PLACE, query.get("cursor"))
    if not parts:
        return None
    published_at, post_id = parts
    if not ids.is_id(str(post_id), "ph_"):
        raise invalid("cursor", "not a cursor of this list", "query")
    return Cursor(int(published_at), str(post_id))


def _limit(query: QueryParams, default: int) -> int:
    """How many posts. Raises Problem (422) outside 1 to 100."""
    text = query.get("limit", str(default))
    if text not in _LIMIT_TEXT:
        raise invalid("limit", f"a number from 1 to {MOST}", "query")
    return int(text)

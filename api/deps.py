"""What the routes need, in one frozen record, and who is calling."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.auth import BadToken, Passwords, TokenBook
from api.feed.ladder import Ladder
from api.feed.stream import FeedStreams
from api.front import trace
from api.front.limits import Limiter
from api.hydrator import Hydrator
from api.problems import UNAUTHENTICATED, Problem, not_found
from api.resilience.breakers import Breakers
from domain import ids
from domain.settings import Settings
from stores.connect import Stores


@dataclass(frozen=True)
class Deps:
    """Made once at the root, reached by every route."""

    settings: Settings
    stores: Stores
    tokens: TokenBook
    limits: Limiter
    breakers: Breakers
    feeds: Ladder
    streams: FeedStreams
    hydrator: Hydrator
    passwords: Passwords = field(default_factory=Passwords)

    @staticmethod
    def now_ms() -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000

    @staticmethod
    def authenticate(request: Request) -> str:
        """The id of the user whose valid token came with the call. Raises Problem (401)."""
        return Deps.viewer(request.scope["state"])

    @staticmethod
    def viewer(state: Mapping[str, Any]) -> str:
        """The same from a call's state. Raises Problem (401)."""
        viewer: str | None = state["viewer"]
        if viewer is None:
            raise Problem(UNAUTHENTICATED, headers={"WWW-Authenticate": "Bearer"})
        return viewer

    def bearer(self, authorization: bytes) -> str | None:
        """The viewer whose token, valid now, an Authorization header holds."""
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        try:
            return self.tokens.viewer(token.strip(), self.now_ms())
        except BadToken:
            return None


def _deps(request: Request) -> Deps:
    return cast("Deps", request.app.state.deps)


_bearer = HTTPBearer(bearerFormat="JWT", auto_error=False, scheme_name="token")


def _viewer(
    request: Request,
    _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> str:
    return Deps.authenticate(request)


def required(_: Annotated[str, Depends(_viewer)]) -> None:
    """Dependency of every router that isn't public, so that no route can forget it."""


def _user_id(user_id: str) -> str:
    return _known(user_id, "u_", "user")


def _photo_id(photo_id: str) -> str:
    return _known(photo_id, "ph_", "photo")


def _post_id(post_id: str) -> str:
    return _known(post_id, "ph_", "post")


def _comment_id(comment_id: str) -> str:
    return _known(comment_id, "cm_", "comment")


def _known(text: str, prefix: str, what: str) -> str:
    """Ids are opaque: one that can't be is one that isn't there."""
    if not ids.is_id(text, prefix):
        raise not_found(what)
    return text


def trace_headers(request: Request) -> dict[str, bytes]:
    """Record headers that carry the call's trace into the log."""
    return {"traceparent": trace.of(request.scope["state"]).encode()}


Api = Annotated[Deps, Depends(_deps)]
Viewer = Annotated[str, Depends(_viewer)]
UserId = Annotated[str, Depends(_user_id)]
PhotoId = Annotated[str, Depends(_photo_id)]
PostId = Annotated[str, Depends(_post_id)]
CommentId = Annotated[str, Depends(_comment_id)]

"""Errors as problem details (RFC 9457): one closed list of kinds, one way to spell them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import StoreAway, Transient

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """What went wrong: `slug` is the stable end of the problem's type URI."""

    slug: str
    status: int
    title: str


BAD_REQUEST = Kind("bad-request", 400, "The request could not be read")
UNAUTHENTICATED = Kind("unauthenticated", 401, "A valid access token is needed")
BAD_CREDENTIALS = Kind("bad-credentials", 401, "Wrong username or password")
FORBIDDEN = Kind("forbidden", 403, "Not yours to change")
NOT_FOUND = Kind("not-found", 404, "Not found")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "Method not allowed")
TIMED_OUT = Kind("timed-out", 408, "The request's body took too long to arrive")
USERNAME_TAKEN = Kind("username-taken", 409, "The username is taken")
UPLOAD_MISMATCH = Kind("upload-mismatch", 409, "The upload is missing or not what was announced")
NOT_AWAITED = Kind("not-awaited", 409, "The upload was completed")
KEY_IN_USE = Kind("idempotency-key-in-use", 409, "The first call with this key is still in flight")
GONE = Kind("gone", 410, "Deleted")
TOO_LARGE = Kind("too-large", 413, "Too large")
UNSUPPORTED_TYPE = Kind("unsupported-type", 415, "Unsupported type")
VALIDATION = Kind("validation", 422, "The request has invalid fields")
SELF_FOLLOW = Kind("self-follow", 422, "Nobody follows themselves")
KEY_REUSED = Kind("idempotency-key-reused", 422, "This key came with another request before")
RATE_LIMITED = Kind("rate-limited", 429, "Too many calls")
INTERNAL = Kind("internal", 500, "Internal error")
UNAVAILABLE = Kind("unavailable", 503, "Temporarily unavailable")

_BY_STATUS = {
    kind.status: kind
    for kind in (
        BAD_REQUEST,
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_FOUND,
        METHOD_NOT_ALLOWED,
        TOO_LARGE,
        UNSUPPORTED_TYPE,
        UNAVAILABLE,
    )
}
_RETRY_TRANSIENT_S, _RETRY_AWAY_S = 1, 3


class Problem(Exception):
    """An answer that is an error; raise it anywhere under a route."""

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(f"{kind.slug}: {detail}")
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = tuple(errors)

    def body(self) -> bytes:
        """The problem document."""
        document: dict[str, Any] = {
            "type": f"/problems/{self.kind.slug}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail or self.kind.title,
        }
        if self.errors:
            document["errors"] = self.errors
        return msgspec.json.encode(document)

    def response(self) -> Response:
        """The whole answer."""
        return Response(
            self.body(), status_code=self.kind.status, headers=self.headers, media_type=MEDIA_TYPE
        )


def invalid(field: str, detail: str, where: str = "body") -> Problem:
    """A validation problem with one field, for rules that a schema can't say."""
    return Problem(VALIDATION, errors=({"in": where, "field": field, "detail": detail},))


def not_found(what: str) -> Problem:
    """404 for `what` ("user", "post"); the same whether it never was or isn't the caller's."""
    return Problem(NOT_FOUND, f"no such {what}")


def problem_of(error: Exception) -> Problem:
    """The answer to any exception; what isn't known is an internal error that tells nothing."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return Problem(VALIDATION, errors=[_field_error(each) for each in error.errors()])
    if isinstance(error, HTTPException):
        kind = _BY_STATUS.get(error.status_code) or Kind(
            f"http-{error.status_code}", error.status_code, error.detail
        )
        return Problem(kind, headers=error.headers)
    if isinstance(error, (Transient, TimeoutError)):
        seconds = _RETRY_AWAY_S if isinstance(error, StoreAway) else _RETRY_TRANSIENT_S
        return Problem(
            UNAVAILABLE,
            "a store doesn't answer; try again",
            headers={"Retry-After": str(seconds)},
        )
    return Problem(INTERNAL)


async def handle(_request: Request, error: Exception) -> Response:
    """Exception handler for everything that has an answer of its own."""
    return problem_of(error).response()


HANDLED: tuple[type[Exception], ...] = (
    Problem,
    RequestValidationError,
    HTTPException,
    Transient,
    TimeoutError,
)


def _field_error(error: Mapping[str, Any]) -> dict[str, str]:
    """One field's complaint, without what was sent: it may be a password."""
    where, *path = error["loc"] or ("body",)
    if error["type"] == "json_invalid":
        path = []
    return {
        "in": str(where),
        "field": ".".join(str(part) for part in path),
        "detail": str(error["msg"]),
    }

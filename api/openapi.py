"""The API's own description (OpenAPI 3.1) and its rendering, both served from here alone."""

import importlib.resources
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from api.feed import docs
from api.problems import MEDIA_TYPE

_ASSETS = "/docs/assets"
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)
_METHODS = frozenset({"get", "put", "post", "delete", "patch"})
_TEXT = {"type": "string"}
_PROBLEM = {
    "title": "Problem",
    "description": "Problem details (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["in", "field", "detail"],
                "properties": {"in": _TEXT, "field": _TEXT, "detail": _TEXT},
            },
        },
    },
}
_KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Same key and body: the first answer again. Same key, other body: 422.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_HEADERS = {
    "X-Request-Id": {"schema": _TEXT},
    "RateLimit": {"schema": _TEXT},
    "RateLimit-Policy": {"schema": _TEXT},
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once: FastAPI's, with our problems, keys and headers."""
    if not app.openapi_schema:
        document = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version="3.1.0",
            description=app.description,
            routes=[*app.routes, *docs.router.routes],
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas["Problem"] = _PROBLEM
        document["components"]["responses"] = {"Problem": _problem_response()}
        document["components"]["parameters"] = {"IdempotencyKey": _KEY_PARAMETER}
        for method, operation in _operations(document):
            _complete(method, operation)
        app.openapi_schema = document
    return app.openapi_schema


def render(app: FastAPI) -> None:
    """Serve the rendering at `/docs` from files that are installed with us."""
    folder = importlib.resources.files("fastapi_offline") / "static"
    app.mount(_ASSETS, StaticFiles(directory=str(folder)), name="docs assets")

    async def docs(_: Request) -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url=app.openapi_url or "",
            title=app.title,
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon.png",
        )
        page.headers["Content-Security-Policy"] = _DOCS_POLICY
        return page

    app.add_route("/docs", docs, include_in_schema=False)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in document["paths"].values():
        yield from ((method, path[method]) for method in path.keys() & _METHODS)


def _complete(method: str, operation: dict[str, Any]) -> None:
    """What holds for all operations, so that no route has to repeat it."""
    responses = operation["responses"]
    responses.pop("422", None)
    for response in responses.values():
        response["headers"] = _HEADERS
    problem = {"$ref": "#/components/responses/Problem"}
    responses["4XX"] = problem
    responses["5XX"] = problem
    if method != "get":
        parameters = operation.setdefault("parameters", [])
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})


def _problem_response() -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "description": "What went wrong.",
        "headers": {**_HEADERS, "Retry-After": {"schema": {"type": "integer"}}},
        "content": content,
    }

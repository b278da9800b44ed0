"""The page of one person's feed: plain files at /app, where / leads too."""

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_WEB = Path(__file__).parent / "web"


class _Page(StaticFiles):
    """Files that may load their own kind, and pictures from the edge."""

    def __init__(self, edge: str) -> None:
        super().__init__(directory=_WEB, html=True)
        self._policy = f"default-src 'self'; img-src 'self' data: {edge}; frame-ancestors 'none'"

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, checked with us at every use, under the page's policy."""
        answer = await super().get_response(path, scope)
        answer.headers["Content-Security-Policy"] = self._policy
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def serve(app: FastAPI, edge: str) -> None:
    """Mount the page; `edge` is the origin of the pictures."""
    app.mount("/app", _Page(edge), name="page")

    async def root(_: Request) -> RedirectResponse:
        return RedirectResponse("/app/")

    app.add_route("/", root, include_in_schema=False)

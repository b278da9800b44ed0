"""People, posts and calls for the tests of the API."""

import secrets
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
from fastapi import FastAPI

from domain.entities import Photo, PhotoStatus
from schemas.events import VariantRef
from stores.connect import Stores
from tests.fresh import fresh_id, now_ms

PASSWORD = "correct horse battery"  # noqa: S105 - made up for tests
PROBLEM = "application/problem+json"


def address() -> str:
    """An address nobody else calls from."""
    return "2001:db8::" + ":".join(secrets.token_hex(2) for _ in range(4))


@dataclass(frozen=True)
class Someone:
    """An account with a valid token."""

    user_id: str
    username: str
    headers: dict[str, str]


class World:
    """A client of an application, and short ways to what tests start from."""

    def __init__(self, app: FastAPI, stores: Stores, ip: str | None = None) -> None:
        self.app = app
        transport = httpx.ASGITransport(app, client=(ip or address(), 40_000))
        self.http = httpx.AsyncClient(transport=transport, base_url="http://api.test")
        self.stores = stores

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.http.aclose()

    async def call(
        self, method: str, path: str, who: Someone | None = None, **more: Any
    ) -> httpx.Response:
        """One call, with somebody's token if `who` is given."""
        headers = {**(who.headers if who else {}), **more.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **more)

    async def someone(self) -> Someone:
        """A new account, signed in."""
        name = "t" + secrets.token_hex(8)
        body = {"username": name, "password": PASSWORD}
        made = await self.call("POST", "/users", json=body)
        assert made.status_code == 201, made.text
        token = (await self.call("POST", "/auth/token", json=body)).json()["access_token"]
        return Someone(made.json()["user_id"], name, {"Authorization": f"Bearer {token}"})

    async def awaited(self, who: Someone, **more: Any) -> Photo:
        """The row of an upload that is awaited."""
        photo_id = fresh_id("ph_")
        fields: dict[str, Any] = {
            "photo_id": photo_id,
            "user_id": who.user_id,
            "status": PhotoStatus.AWAITING_UPLOAD,
            "filename": "a.jpg",
            "content_type": "image/jpeg",
            "size_bytes": 3,
            "object_key": f"{who.user_id}/{photo_id}",
        }
        photo = Photo(**fields | more)
        await self.stores.photos.add(photo)
        return photo

    async def post(self, who: Someone, **more: Any) -> Photo:
        """A published post whose renditions are not stored anywhere."""
        variants = tuple(
            VariantRef(name, secrets.token_hex(16), side, side, 3)
            for name, side in (("thumbnail", 150), ("feed", 640), ("full", 1080))
        )
        fields: dict[str, Any] = {"variants": variants, "width": 4000, "height": 3000}
        published = await self.stores.photos.publish(
            await self.awaited(who, **fields | more), now_ms()
        )
        assert published is not None
        return published


def is_problem(answer: httpx.Response, status: int, slug: str) -> None:
    """Fails unless the answer is this problem, whole."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    document = answer.json()
    assert document["type"] == f"/problems/{slug}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]

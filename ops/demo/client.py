"""A client of the API as a phone would be one: it retries with its Idempotency-Key."""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import httpx
import tenacity

Json = dict[str, Any]
_PATIENCE_S = 240.0
_RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_FINAL = frozenset({"published", "rejected", "deleted"})


class Refused(Exception):
    """An answer that trying again won't change; the message names call, status and detail."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class _TryAgain(Exception):
    """The server said later."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """An acknowledged upload; times by the client's monotonic clock, seconds."""

    photo_id: str
    completed_at: float


class Client:
    """One signed-in person. Not shared between tasks of different people."""

    def __init__(self, http: httpx.AsyncClient, username: str, password: str) -> None:
        self._http = http
        self.username = username
        self._password = password
        self.user_id = ""
        self._token = ""

    async def register(self, display_name: str) -> None:
        """Make the account and sign in; a repeated call finds the account made."""
        body = {
            "username": self.username,
            "password": self._password,
            "display_name": display_name,
        }
        try:
            await self._send("POST", "/users", body)
        except Refused as refusal:
            if refusal.status != httpx.codes.CONFLICT:
                raise  # taken: by an earlier try of this very call, or signing in will tell
        await self._sign_in()
        self.user_id = (await self._send("GET", f"/users/by-name/{self.username}"))["user_id"]

    async def follow(self, user_id: str) -> None:
        """Follow somebody."""
        await self._send("POST", f"/follow/{user_id}")

    async def unfollow(self, user_id: str) -> None:
        """Take a follow back."""
        await self._send("DELETE", f"/follow/{user_id}")

    async def like(self, post_id: str) -> None:
        """Like a post."""
        await self._send("POST", f"/likes/{post_id}")

    async def comment(self, post_id: str, text: str) -> None:
        """Comment on a post."""
        await self._send("POST", f"/posts/{post_id}/comments", {"text": text})

    async def upload(
        self, words: Json, data: bytes, advance: Callable[[str], None] | None = None
    ) -> Uploaded:
        """POST /photos, PUT to the object store, complete. Returns when it was acknowledged.

        What is larger than a part goes in parts, side by side; a lost one is sent again.
        """
        step = advance or (lambda _: None)
        grant = await self._send("POST", "/photos", words)
        step("granted")
        if grant["upload_method"] == "MULTIPART":
            await self._put_parts(grant, data)
        else:
            await self._put(grant["upload_url"], grant["upload_headers"], data)
        step("stored")
        await self._send("POST", f"/photos/{grant['photo_id']}/complete")
        return Uploaded(grant["photo_id"], time.monotonic())

    async def wait_published(self, photo_id: str, limit_s: float) -> Json:
        """Long-poll the status until it is final. Raises TimeoutError."""
        async with asyncio.timeout(limit_s):
            while True:
                status = await self._send("GET", f"/photos/{photo_id}/status?wait=8")
                if status["status"] in _FINAL:
                    return status

    async def feed_page(self, cursor: str | None = None, limit: int = 20) -> Json:
        """One page of the home feed."""
        query = f"?limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        return await self._send("GET", f"/feed{query}")

    async def whole_feed(self, limit: int = 20) -> list[tuple[str, str]]:
        """Every (post_id, created_at) of the feed, page by page, top to bottom."""
        entries: list[tuple[str, str]] = []
        cursor: str | None = None
        while True:
            page = await self.feed_page(cursor, limit)
            entries += [(post["post_id"], post["created_at"]) for post in page["posts"]]
            if page["completeness"] != "complete":
                await asyncio.sleep(0.5)
                entries, cursor = [], None
                continue
            cursor = page["next_cursor"]
            if not page["has_more"]:
                return entries

    async def put(self, path: str, body: Json) -> Json:
        """Any setting."""
        return await self._send("PUT", path, body)

    async def get(self, path: str) -> Json:
        """Any read."""
        return await self._send("GET", path)

    async def _sign_in(self) -> None:
        body = {"username": self.username, "password": self._password}
        self._token = (await self._send("POST", "/auth/token", body))["access_token"]

    async def _put_parts(self, grant: Json, data: bytes) -> None:
        """Send the parts side by side, then whatever the store says it lacks."""
        missing, size = grant["parts"], grant["part_size"]
        async for attempt in _patiently():
            with attempt:
                await asyncio.gather(
                    *(
                        self._put(
                            part["upload_url"],
                            {},
                            data[(part["part_number"] - 1) * size :][: part["size_bytes"]],
                        )
                        for part in missing
                    )
                )
                missing = (await self._send("GET", f"/photos/{grant['photo_id']}/parts"))["missing"]
                if missing:
                    raise _TryAgain(f"{len(missing)} parts are missing")

    async def _put(self, url: str, headers: dict[str, str], data: bytes) -> None:
        async for attempt in _patiently():
            with attempt:
                answer = await self._http.put(url, content=data, headers=headers)
                if answer.status_code == httpx.codes.PRECONDITION_FAILED:
                    return  # an earlier try had arrived after all
                _judge("PUT", "the object store", answer)

    async def _send(self, method: str, path: str, body: Json | None = None) -> Json:
        """One call, tried until it is answered; unsafe ones carry one key for all tries."""
        headers = {} if method == "GET" else {"Idempotency-Key": str(uuid.uuid4())}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        async for attempt in _patiently():
            with attempt:
                answer = await self._http.request(method, path, json=body, headers=headers)
                _judge(method, path, answer)
                return cast("Json", answer.json() if answer.content else {})
        raise AssertionError("unreachable: tenacity returns or raises")


def _judge(method: str, path: str, answer: httpx.Response) -> None:
    in_flight = answer.status_code == httpx.codes.CONFLICT and "in flight" in answer.text
    if answer.status_code in _RETRY_STATUS or in_flight:
        raise _TryAgain(f"{method} {path}: {answer.status_code}")
    if answer.is_error:
        line = f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        raise Refused(line, answer.status_code)


def _patiently() -> tenacity.AsyncRetrying:
    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type((httpx.TransportError, _TryAgain)),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=2.0),
        stop=tenacity.stop_after_delay(_PATIENCE_S),
        reraise=True,
    )

"""The edge as its operators see it: the internal listener refreshes, the public one is asked.

A refresh replaces what is cached by what the shield says now. An answer that was already on its way
when the post was deleted may still be stored behind it, so readers' answers are looked at twice,
a moment apart, and refreshed again while one is still a picture.
"""

import asyncio
from collections.abc import Collection

import httpx

from domain.errors import StoreAway, Transient

_TIMEOUT_S = 5.0
_TRIES = 4
_SETTLE_S = 0.25
_GONE = frozenset({httpx.codes.NOT_FOUND, httpx.codes.GONE})


class HttpEdge:
    """`domain.ports.photos.PictureEdge` over nginx's two listeners."""

    def __init__(self, public_url: str, refresh_url: str) -> None:
        self._public = public_url
        self._refresh = refresh_url
        self._http = httpx.AsyncClient(timeout=_TIMEOUT_S)

    async def purge(self, paths: Collection[str]) -> None:
        """Make readers of these paths get 404 or 410, and see twice that they do.

        Raises Transient when one is still served after a few tries, StoreAway.
        """
        await self.refresh(paths)
        served = set(paths)
        for _ in range(_TRIES):
            await self._served(paths)
            await asyncio.sleep(_SETTLE_S)
            served = await self._served(paths)
            if not served:
                return
            await self.refresh(served)
        raise Transient(f"edge: still serves {len(served)} of {len(paths)} purged pictures")

    async def refresh(self, paths: Collection[str]) -> None:
        """Fetch these paths anew for all readers. Raises Transient, StoreAway."""
        for answer in await self._ask("GET", self._refresh, paths):
            if answer.is_server_error:
                raise Transient(f"edge: refresh answered {answer.status_code}")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _served(self, paths: Collection[str]) -> set[str]:
        """Those of the paths that readers get anything else for than that it is gone."""
        answers = await self._ask("HEAD", self._public, paths)
        return {
            path
            for path, answer in zip(paths, answers, strict=True)
            if answer.status_code not in _GONE
        }

    async def _ask(self, method: str, base: str, paths: Collection[str]) -> list[httpx.Response]:
        try:
            return await asyncio.gather(
                *(self._http.request(method, f"{base}{path}") for path in paths)
            )
        except httpx.TransportError as error:
            raise StoreAway(f"edge: {type(error).__name__}") from error

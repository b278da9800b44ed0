"""A decoder that remembers: bytes it has seen aren't decoded again (seed section 10b).

First a filter, which only saves the question: a yes of it proves nothing. Then the durable index;
what that says is believed when the objects it names are there and are what their keys say. They are
handed out as bytes, to be put under the asker's own prefix: what happens to one person's photos
never touches another's.
"""

import asyncio
import time
from typing import Protocol

from domain.duplicates import Stored, reused, sha256_of, stored
from domain.errors import Reason, Unrecoverable
from domain.ports.photos import Renditions
from domain.ports.uploads import Objects
from domain.renditions import ENCODER, Decoder, Focus, Rendered, object_key


class Filter(Protocol):
    """What stores/bloom.py does."""

    def might_know(self, sha256: str) -> bool:
        """Whether to ask the index."""

    def add(self, sha256: str) -> None:
        """Say yes from now on."""


class RememberingDecoder:
    """A `domain.renditions.Decoder` before another one.

    What was decoded with a focus is neither remembered nor reused: its thumbnail is its own.
    """

    def __init__(
        self,
        decoder: Decoder,
        renditions: Renditions,
        objects: Objects,
        media_bucket: str,
        known: Filter,
    ) -> None:
        self._decoder = decoder
        self._renditions = renditions
        self._objects = objects
        self._bucket = media_bucket
        self._known = known

    async def render(self, source: bytes, declared_type: str, focus: Focus | None) -> Rendered:
        """The renditions of exactly these bytes, found or made.

        Raises Rejected, StoreAway, Transient.
        """
        if focus is None:
            sha256 = await asyncio.to_thread(sha256_of, source)
            if self._known.might_know(sha256):
                found = await self._renditions.get(sha256, _encoder(declared_type))
                if found is not None and (reuse := await self._verified(sha256, found)):
                    return reuse
        return await self._decoder.render(source, declared_type, focus)

    async def keep(
        self, user_id: str, rendered: Rendered, declared_type: str, focus: Focus | None
    ) -> None:
        """Remember renditions that are stored under the user's prefix; twice is once."""
        if focus is None:
            now = time.time_ns() // 1_000_000
            known = stored(user_id, rendered)
            await self._renditions.add(rendered.sha256, _encoder(declared_type), known, now)
            self._known.add(rendered.sha256)

    async def _verified(self, sha256: str, found: Stored) -> Rendered | None:
        keys = [object_key(found.user_id, each.hash) for each in found.variants]
        try:
            objects = await asyncio.gather(*(self._objects.get(self._bucket, key) for key in keys))
        except Unrecoverable as error:
            if error.reason is not Reason.MISSING_OBJECT:
                raise
            return None
        return reused(sha256, found, objects)


def _encoder(declared_type: str) -> str:
    """Whose work it is; the type belongs to it because the decoder refuses a wrong one."""
    return f"{ENCODER} {declared_type}"

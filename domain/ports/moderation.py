"""Ports: what may not be published, and who decided so."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from domain.moderation import BlockedHash, Case, Decided, NewCase
from schemas.events import UploadCompleted


class Blocklist(Protocol):
    """Perceptual hashes of content that is never published."""

    async def version(self) -> int:
        """Changes with every change of the list."""

    def hashes(self) -> AsyncIterator[bytes]:
        """All hashes, 32 bytes each, many joined at a time."""

    async def add(self, entries: Sequence[BlockedHash]) -> int:
        """Add entries; one that is there stays as it is. How many were new."""

    async def remove(self, phash: str) -> bool:
        """Take one entry off; False when it wasn't there."""

    async def page(self, after: str, limit: int) -> list[BlockedHash]:
        """Entries in the order of their hashes, strictly after one ("" is the start)."""

    async def count(self) -> int:
        """How many entries there are."""


class Moderation(Protocol):
    """Cases of photos that were stopped, and the decisions about them, which stay for good."""

    async def open(self, case: NewCase) -> None:
        """Open a case; a photo has one, so twice is once."""

    async def get(self, photo_id: str) -> Case | None:
        """The photo's case, None without one."""

    async def open_cases(self, limit: int) -> list[Case]:
        """Cases without a decision, oldest first."""

    async def latest(self, limit: int) -> list[Case]:
        """Cases whatever was decided, newest first."""

    async def upload(self, photo_id: str) -> UploadCompleted:
        """The event that the photo was stopped with. Raises NotFound."""

    async def uphold(self, photo_id: str, by: str, why: str, now: int) -> None:
        """The photo stays away. Raises NotFound, AlreadyRestored."""

    async def restore(self, upload: UploadCompleted, by: str, why: str, now: int) -> None:
        """The photo may be published: its upload is an event again, in the same commit.

        `upload` is the event it was stopped with, of the ETag that its bytes have now. Raises
        NotFound, AlreadyRestored.
        """

    async def decisions(self, photo_id: str) -> list[Decided]:
        """All decisions about a photo, in their order."""

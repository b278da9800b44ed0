"""The search index in memory, for pure tests; it passes the contract tests of the real one."""

from collections.abc import Mapping
from typing import Any

from domain.entities import Cursor, FeedEntry
from domain.feed import older
from stores.checks import checked_id, checked_version


class MemorySearchIndex:
    """`domain.ports.photos.SearchIndex`."""

    def __init__(self) -> None:
        self.documents: dict[str, tuple[int, Mapping[str, Any] | None]] = {}

    async def put(self, post_id: str, document: Mapping[str, object], version: int) -> None:
        """Index unless a newer version (or tombstone) is there."""
        self._write(post_id, document, version)

    async def bury(self, post_id: str, version: int) -> None:
        """Leave a versioned tombstone."""
        self._write(post_id, None, version)

    async def by_tag(self, tag: str, before: Cursor | None, limit: int) -> list[FeedEntry]:
        """Posts with a tag, newest first, strictly before the cursor."""
        found = [
            FeedEntry(of["published_at"], of["post_id"], of["user_id"])
            for _, of in self.documents.values()
            if of is not None and tag in of["tags"]
        ]
        return older(sorted(found, reverse=True), before)[:limit]

    def _write(self, post_id: str, document: Mapping[str, object] | None, version: int) -> None:
        kept, _ = self.documents.get(checked_id(post_id, "ph_"), (0, None))
        if checked_version(version) > kept:
            self.documents[post_id] = (version, document)

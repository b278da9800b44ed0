"""Blocklist and moderation in memory, for pure tests; they pass the real ones' contract tests.

What a restored case enqueues is in `outbox`.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from domain.errors import NotFound
from domain.hash_index import joined
from domain.moderation import AlreadyRestored, BlockedHash, Case, Decided, NewCase
from schemas.events import UploadCompleted


class MemoryBlocklist:
    """`domain.ports.moderation.Blocklist`."""

    def __init__(self) -> None:
        self.entries: dict[str, BlockedHash] = {}
        self.changes = 0

    async def version(self) -> int:
        """Changes with every change of the list."""
        return self.changes

    async def hashes(self) -> AsyncIterator[bytes]:
        """All hashes."""
        yield joined(sorted(self.entries))

    async def add(self, entries: Sequence[BlockedHash]) -> int:
        """Add entries; one that is there stays as it is."""
        before = len(self.entries)
        for each in entries:
            self.entries.setdefault(each.hash, each)
        self.changes += 1
        return len(self.entries) - before

    async def remove(self, phash: str) -> bool:
        """Take one entry off; False when it wasn't there."""
        self.changes += 1
        return self.entries.pop(phash, None) is not None

    async def page(self, after: str, limit: int) -> list[BlockedHash]:
        """Entries in the order of their hashes."""
        return [self.entries[each] for each in sorted(self.entries) if each > after][:limit]

    async def count(self) -> int:
        """How many entries there are."""
        return len(self.entries)


class MemoryModeration:
    """`domain.ports.moderation.Moderation`."""

    def __init__(self, blocklist: MemoryBlocklist) -> None:
        self._blocklist = blocklist
        self.cases: dict[str, Case] = {}
        self.uploads: dict[str, UploadCompleted] = {}
        self.audit: list[tuple[str, Decided]] = []
        self.outbox: list[UploadCompleted] = []

    async def open(self, case: NewCase) -> None:
        """Open a case; a photo has one."""
        photo_id = case.upload.photo_id
        entry = self._blocklist.entries.get(case.matched)
        made = Case(
            photo_id,
            case.upload.user_id,
            case.opened_at,
            case.phash,
            case.matched,
            case.distance,
            entry.source if entry else "",
            entry.reason if entry else "",
            case.kept_key,
            "open",
        )
        if self.cases.setdefault(photo_id, made) is made:
            self.uploads[photo_id] = case.upload

    async def get(self, photo_id: str) -> Case | None:
        """The photo's case."""
        return self.cases.get(photo_id)

    async def open_cases(self, limit: int) -> list[Case]:
        """Cases without a decision, oldest first."""
        found = [case for case in self.cases.values() if case.status == "open"]
        return sorted(found, key=lambda case: (case.opened_at, case.photo_id))[:limit]

    async def latest(self, limit: int) -> list[Case]:
        """Cases whatever was decided, newest first."""
        return sorted(self.cases.values(), key=lambda case: (-case.opened_at, case.photo_id))[
            :limit
        ]

    async def upload(self, photo_id: str) -> UploadCompleted:
        """The event that the photo was stopped with."""
        if photo_id not in self.uploads:
            raise NotFound(photo_id)
        return self.uploads[photo_id]

    async def uphold(self, photo_id: str, by: str, why: str, now: int) -> None:
        """The photo stays away."""
        self._decide(photo_id, Decided("upheld", by, now, why))

    async def restore(self, upload: UploadCompleted, by: str, why: str, now: int) -> None:
        """The photo may be published."""
        self._decide(upload.photo_id, Decided("restored", by, now, why))
        self.outbox.append(upload)

    async def decisions(self, photo_id: str) -> list[Decided]:
        """All decisions about a photo, in their order."""
        return [decided for about, decided in self.audit if about == photo_id]

    def _decide(self, photo_id: str, decided: Decided) -> None:
        if photo_id not in self.cases:
            raise NotFound(photo_id)
        if self.cases[photo_id].status == "restored":
            raise AlreadyRestored(photo_id)
        self.cases[photo_id] = replace(self.cases[photo_id], status=decided.decision)
        self.audit.append((photo_id, decided))

"""Ports: people's accounts, and the first answers of their unsafe calls."""

from collections.abc import Sequence
from typing import Protocol

from domain.entities import User


class Users(Protocol):
    """Accounts and profiles."""

    async def add(self, user: User, password_hash: str) -> bool:
        """Store a new account; False when the username is taken (case-insensitively)."""

    async def get(self, user_id: str) -> User | None:
        """The profile, or None."""

    async def get_many(self, user_ids: Sequence[str]) -> dict[str, User]:
        """Those of `user_ids` that exist."""

    async def ids_after(self, user_id: str, limit: int) -> list[str]:
        """Everyone's ids in order, strictly after one ("" is the start): for operators."""

    async def by_name(self, username: str) -> tuple[User, str] | None:
        """Profile and password hash by username, case-insensitively."""

    async def update(
        self,
        user_id: str,
        *,
        display_name: str | None = None,
        bio: str | None = None,
        avatar_photo_id: str | None = None,
    ) -> User | None:
        """Change what is given; the profile afterwards, or None when there is none."""


class IdempotencyKeys(Protocol):
    """First answers of unsafe calls, kept durably (contract section 2)."""

    async def begin(self, user_id: str, key: str, fingerprint: str) -> "StoredAnswer | None":
        """Claim the key, or give what is stored (`status` 0 while the first still runs)."""

    async def finish(self, user_id: str, key: str, status: int, body: bytes) -> None:
        """Keep the answer for 24 h."""

    async def release(self, user_id: str, key: str) -> None:
        """Forget a claim whose call failed, so that it may be tried again."""


class StoredAnswer(Protocol):
    """What an Idempotency-Key was first answered with."""

    @property
    def fingerprint(self) -> str:
        """Hash of method, path and body of the first call."""

    @property
    def status(self) -> int:
        """HTTP status, 0 while the first call still runs."""

    @property
    def body(self) -> bytes:
        """The first body, byte for byte."""

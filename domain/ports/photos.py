"""Ports: photos and the posts they become, their renditions, their documents, their pictures."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

from domain.duplicates import Stored
from domain.entities import Cursor, FanOut, FeedEntry, Photo, Unheld


class Photos(Protocol):
    """Photos and posts by id, and posts by user and time."""

    async def add(self, photo: Photo) -> None:
        """Write the row of an upload that is awaited; never overwrites a later state."""

    async def get(self, photo_id: str) -> Photo | None:
        """The row in whatever state it is."""

    async def get_many(self, photo_ids: Sequence[str]) -> dict[str, Photo]:
        """Those that exist, read side by side."""

    async def mark_processing(self, photo: Photo) -> None:
        """awaiting_upload → processing with the words that came with `complete`; else nothing."""

    async def reject(self, photo_id: str, reason: str) -> bool:
        """awaiting_upload/processing → rejected; whether it is rejected now, by any call."""

    async def restore(self, photo_id: str) -> Photo:
        """Rejected as blocked → processing; else nothing. The row afterwards."""

    async def publish(self, photo: Photo, now: int) -> Photo | None:
        """Make the post durable, by id and by user, then visible.

        `published_at` is claimed once: a repeated call returns the row as first published, None
        when the photo is deleted or rejected.
        """

    async def decide(self, photo_id: str, wanted: FanOut) -> FanOut | None:
        """Claim how a post is delivered; the decision that stands, None when it isn't live.

        The first call decides; the row's version stays. Raises Unrecoverable(unknown_post) without
        a row.
        """

    async def revise(self, photo_id: str, change: Callable[[Photo], Photo]) -> Photo | None:
        """Apply a pure change to a live post, one version newer; the row afterwards.

        The row as it is when nothing changes, None when the post isn't live.
        """

    async def delete(self, photo_id: str) -> Photo:
        """Leave a tombstone, by id and by user, that nothing overwrites; twice is once."""

    def scan(self) -> AsyncIterator[Photo]:
        """All rows, in no order, a few at a time: for operators."""

    async def own_by_sha256(self, user_id: str, sha256: str) -> Photo | None:
        """The user's live post that was last published from these bytes (hex), None without one."""

    async def by_user(self, user_id: str, before: Cursor | None, limit: int) -> list[FeedEntry]:
        """Live posts of a user, newest first, strictly before the cursor; all buckets united."""

    async def count_by_user(self, user_id: str) -> int:
        """How many live posts a user has."""

    async def flag_hot(self, user_id: str, now: int) -> None:
        """Spread what this user posts later over several partitions, for good; twice is once."""


class Renditions(Protocol):
    """Which renditions are stored, by the bytes they were made from and the encoder."""

    async def add(self, sha256: str, encoder: str, stored: Stored, now: int) -> None:
        """Remember renditions that are stored; twice is once, the newest owner counts."""

    async def get(self, sha256: str, encoder: str) -> Stored | None:
        """What `encoder` made of these bytes, None when it isn't known."""

    async def forget(self, sha256: str, encoder: str, user_id: str) -> None:
        """Drop what is about objects of this user; absent is fine."""

    def added(self, since: int, until: int) -> AsyncIterator[list[str]]:
        """Hashes added from `since` on until the hour of `until` (ms), newest first, in parts."""


class MediaRefs(Protocol):
    """Which photos need which objects of the media bucket: same bytes are stored once a user.

    Whoever stores an object, or relies on one that is there, holds it first. So an object that is
    stored and has no holder is nobody's, and may be removed after a while.
    """

    async def hold(self, user_id: str, hashes: Collection[str], photo_id: str) -> None:
        """The photo needs these from now on; twice is once. To be called before they are put.

        Raises StoreAway while one of them is being removed: put it when that is over.
        """

    async def held(self, photo_id: str) -> set[str]:
        """The hashes that the photo holds."""

    async def release(self, user_id: str, hashes: Collection[str], photo_id: str, now: int) -> None:
        """The photo needs these no more; what nobody holds is `unheld` since `now` (ms)."""

    async def unheld(self, before: int, limit: int) -> list[Unheld]:
        """Up to `limit` objects that lost their last holder before a time (ms), oldest first."""

    async def remove(self, unheld: Unheld, delete: Callable[[], Awaitable[None]]) -> bool:
        """Call `delete` unless somebody holds the object now; whether it was called.

        Either way it is off the list of the unheld. Raises whatever `delete` raises.
        """


class SearchIndex(Protocol):
    """Posts as search documents with external versions."""

    async def put(self, post_id: str, document: Mapping[str, object], version: int) -> None:
        """Index unless a newer version (or tombstone) is there."""

    async def bury(self, post_id: str, version: int) -> None:
        """Leave a versioned tombstone that no search finds."""

    async def by_tag(self, tag: str, before: Cursor | None, limit: int) -> list[FeedEntry]:
        """Posts with a tag, newest first."""


class PictureEdge(Protocol):
    """The cache before the pictures."""

    async def purge(self, paths: Collection[str]) -> None:
        """Make readers of these URL paths get 404 or 410, and see that they do.

        Raises Transient when one is still served, StoreAway.
        """

    async def refresh(self, paths: Collection[str]) -> None:
        """Fetch these URL paths anew for all readers."""

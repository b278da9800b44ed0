"""Photos and posts in Cassandra: one row by id, one by user once published (seed section 6).

The row by id is only ever changed by lightweight transactions on its version, so each step of
`domain.photo_states` happens once whatever is repeated or raced. The row by user is written USING
TIMESTAMP <version>, so an older write that comes late changes nothing there either.
"""

import asyncio
import heapq
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import astuple
from itertools import islice
from typing import NamedTuple, cast

from domain import photo_states
from domain.entities import Cursor, Delivery, FanOut, FeedEntry, Photo, PhotoStatus
from domain.errors import Reason, Transient, Unrecoverable
from schemas.events import Focus, Location, VariantRef
from stores.cassandra_session import CassandraSession, Row
from stores.checks import checked_id

_BUCKETS = 4
_HOT_CACHE_S = 30.0
_HOT_GRACE_MS = 60_000
"""Posts go to a hot person's further buckets once no reader may still believe in one bucket."""
_CACHED_USERS = 10_000
_RACES = 8
_SCANNED = 500
_FIRST_TOKEN = -(1 << 63)
_NEWEST = Cursor((1 << 63) - 1, "~")

_INSERT = """
INSERT INTO photos (photo_id, user_id, status, filename, content_type, size_bytes, object_key,
    caption, tags, alt_text, location, focus, sha256, expires_at, version)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS"""
_UPDATE = """
UPDATE photos SET status = ?, caption = ?, tags = ?, alt_text = ?, location = ?, sha256 = ?,
    width = ?, height = ?, placeholder = ?, variants = ?, published_at = ?, bucket = ?, reason = ?,
    version = ?
WHERE photo_id = ? IF version = ?"""
_DECIDE = """
UPDATE photos SET delivery = ?, fan_out_event = ?, decided_at = ?
WHERE photo_id = ? IF delivery = null AND version = ?"""
_COLUMNS = """photo_id, user_id, status, filename, content_type, size_bytes, object_key, caption,
    tags, alt_text, location, focus, sha256, expires_at, width, height, placeholder, variants,
    published_at, bucket, reason, version, delivery, fan_out_event, decided_at"""
_SELECT = f"SELECT {_COLUMNS} FROM photos WHERE photo_id IN ?"  # noqa: S608 - of constants
_SCAN = f"""
SELECT {_COLUMNS}, token(photo_id) AS place FROM photos WHERE token(photo_id) > ? LIMIT ?
"""  # noqa: S608 - of constants
_INSERT_BY_USER = """
INSERT INTO posts_by_user (user_id, bucket, published_at, post_id, version, deleted)
VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"""
# The filter is within one partition: the node itself reads on past the tombstones to a full page.
_SELECT_BY_USER = """
SELECT published_at, post_id FROM posts_by_user
WHERE user_id = ? AND bucket = ? AND (published_at, post_id) < (?, ?) AND deleted = false
LIMIT ? ALLOW FILTERING"""
_COUNT_BY_USER = """
SELECT COUNT(*) AS posts FROM posts_by_user
WHERE user_id = ? AND bucket = ? AND deleted = false ALLOW FILTERING"""
_INSERT_BY_SHA256 = """
INSERT INTO photos_by_user_sha256 (user_id, sha256, photo_id) VALUES (?, ?, ?) USING TIMESTAMP ?"""
_SELECT_BY_SHA256 = "SELECT photo_id FROM photos_by_user_sha256 WHERE user_id = ? AND sha256 = ?"
_INSERT_HOT = "INSERT INTO hot_users (user_id, since) VALUES (?, ?) IF NOT EXISTS"
_SELECT_HOT = "SELECT since FROM hot_users WHERE user_id = ?"


class CassandraPhotos:
    """`domain.ports.photos.Photos` on the tables photos, posts_by_user and hot_users."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session
        self._hot: dict[str, tuple[float, int | None]] = {}

    async def add(self, photo: Photo) -> None:
        """Write the row of an awaited upload; twice is once, a later state stays.

        Raises Unrecoverable(invalid_event) when the id is malformed or another person's.
        """
        [row] = await self._session.execute(_INSERT, _inserted(photo))
        if not row.applied and row.user_id != photo.user_id:
            raise Unrecoverable(Reason.INVALID_EVENT, f"{photo.photo_id} is taken")

    async def get(self, photo_id: str) -> Photo | None:
        """The row in whatever state it is."""
        stored = await self._stored(photo_id)
        return stored and stored.photo

    async def get_many(self, photo_ids: Sequence[str]) -> dict[str, Photo]:
        """Those that exist, read side by side."""
        checked = [checked_id(photo_id, "ph_") for photo_id in photo_ids]
        rows = await self._session.select_in(_SELECT, checked)
        return {row.photo_id: _photo(row) for row in rows}

    async def mark_processing(self, photo: Photo) -> None:
        """awaiting_upload → processing with the words of `photo`; else nothing.

        Raises Unrecoverable(unknown_post) without a row.
        """
        await self._change(photo.photo_id, lambda stored: photo_states.processing(stored, photo))

    async def reject(self, photo_id: str, reason: str) -> bool:
        """awaiting_upload/processing → rejected; whether it is rejected now, twice is once.

        Raises Unrecoverable(unknown_post) without a row.
        """
        stored = await self._change(photo_id, lambda row: photo_states.rejected(row, reason))
        return stored.photo.status is PhotoStatus.REJECTED

    async def restore(self, photo_id: str) -> Photo:
        """Rejected as blocked → processing; the row afterwards, twice is once.

        Raises Unrecoverable(unknown_post) without a row.
        """
        return (await self._change(photo_id, photo_states.restored)).photo

    async def publish(self, photo: Photo, now: int) -> Photo | None:
        """Claim `published_at`, then make the row by user durable; a repeat repairs that row.

        The row as first published, or None when the photo is deleted or rejected. Raises
        Unrecoverable(unknown_post) without a row.
        """
        bucket = await self._bucket(photo, now)
        stored = await self._change(
            photo.photo_id, lambda row: photo_states.published(row, photo, now), bucket
        )
        post = stored.photo
        if post.status is not PhotoStatus.PUBLISHED:
            return None
        await self._put_by_user(stored)
        if post.sha256:
            own = (post.user_id, post.sha256, post.photo_id, post.published_at)
            await self._session.execute(_INSERT_BY_SHA256, own)
        return post

    async def own_by_sha256(self, user_id: str, sha256: str) -> Photo | None:
        """The user's live post that was last published from these bytes, None without one."""
        key = (checked_id(user_id, "u_"), sha256)
        rows = await self._session.execute(_SELECT_BY_SHA256, key)
        photo = await self.get(rows[0].photo_id) if rows else None
        return photo if photo and photo.status is PhotoStatus.PUBLISHED else None

    async def revise(self, photo_id: str, change: Callable[[Photo], Photo]) -> Photo | None:
        """Apply a pure change to a live post, one version newer; the row afterwards.

        None when the post isn't live. Raises Unrecoverable(unknown_post) without a row.
        """
        stored = await self._change(photo_id, lambda row: photo_states.revised(row, change))
        return stored.photo if stored.photo.status is PhotoStatus.PUBLISHED else None

    async def decide(self, photo_id: str, wanted: FanOut) -> FanOut | None:
        """Claim how a post is delivered; the decision that stands, None when it isn't live.

        The first call decides; the row's version stays. Raises Unrecoverable(unknown_post) without
        a row.
        """
        for _ in range(_RACES):
            stored = await self._known(photo_id)
            if photo_states.decided(stored.photo, wanted) is None:
                live = stored.photo.status is PhotoStatus.PUBLISHED
                return stored.photo.fan_out if live else None
            params = (*astuple(wanted), photo_id, stored.photo.version)
            [row] = await self._session.execute(_DECIDE, params)
            if row.applied:
                return wanted
        raise Transient(f"{photo_id} is being changed by too many at once")

    async def delete(self, photo_id: str) -> Photo:
        """Leave a tombstone by id, then by user; a repeat repairs the second.

        Raises Unrecoverable(unknown_post) without a row.
        """
        stored = await self._change(photo_id, photo_states.deleted)
        if stored.photo.published_at is not None:
            await self._put_by_user(stored)
        return stored.photo

    async def scan(self) -> AsyncIterator[Photo]:
        """All rows, in the order of their tokens, a few at a time."""
        place = _FIRST_TOKEN
        while rows := await self._session.execute(_SCAN, (place, _SCANNED)):
            for row in rows:
                yield _photo(row)
            place = rows[-1].place

    async def by_user(self, user_id: str, before: Cursor | None, limit: int) -> list[FeedEntry]:
        """Live posts, newest first, strictly before the cursor; all buckets united."""
        place = before or _NEWEST
        pages = await self._each_bucket(
            _SELECT_BY_USER, user_id, (place.published_at, place.post_id, limit)
        )
        entries = [
            [FeedEntry(row.published_at, row.post_id, user_id) for row in rows] for rows in pages
        ]
        return list(islice(heapq.merge(*entries, reverse=True), limit))

    async def count_by_user(self, user_id: str) -> int:
        """How many live posts a user has, counted."""
        return sum(row.posts for [row] in await self._each_bucket(_COUNT_BY_USER, user_id, ()))

    async def flag_hot(self, user_id: str, now: int) -> None:
        """Spread this person's posts over several partitions, from a minute after `now` (ms) on.

        For good: twice is once, and the first time stands.
        """
        await self._session.execute(_INSERT_HOT, (checked_id(user_id, "u_"), now))
        self._hot.pop(user_id, None)

    async def _put_by_user(self, stored: "_Stored") -> None:
        """The row by user as the row by id has it; a tombstone is never overwritten."""
        post = stored.photo
        key = (post.user_id, stored.bucket, post.published_at, post.photo_id)
        gone = post.status is PhotoStatus.DELETED
        await self._session.execute(_INSERT_BY_USER, (*key, post.version, gone, post.version))

    async def _stored(self, photo_id: str) -> "_Stored | None":
        rows = await self._session.select_in(_SELECT, [checked_id(photo_id, "ph_")])
        return _Stored(_photo(rows[0]), rows[0].bucket) if rows else None

    async def _known(self, photo_id: str) -> "_Stored":
        stored = await self._stored(photo_id)
        if stored is None:
            raise Unrecoverable(Reason.UNKNOWN_POST, photo_id)
        return stored

    async def _change(
        self, photo_id: str, step: Callable[[Photo], Photo | None], bucket: int | None = None
    ) -> "_Stored":
        """Take a step on the stored row by compare-and-set; the row afterwards, changed or not."""
        for _ in range(_RACES):
            stored = await self._known(photo_id)
            changed = step(stored.photo)
            if changed is None:
                return stored
            kept = stored.bucket if bucket is None else bucket
            params = _updated(changed, kept, stored.photo.version)
            [row] = await self._session.execute(_UPDATE, params)
            if row.applied:
                return _Stored(changed, kept)
        raise Transient(f"{photo_id} is being changed by too many at once")

    async def _each_bucket(
        self, query: str, user_id: str, rest: tuple[object, ...]
    ) -> list[list[Row]]:
        """Rows of bucket 0 and, for a hot person, of the others. One round trip for most."""
        checked_id(user_id, "u_")
        since, first = await asyncio.gather(
            self._hot_since(user_id), self._session.execute(query, (user_id, 0, *rest))
        )
        others = range(1, _BUCKETS) if since is not None else ()
        return [
            first,
            *await self._session.execute_many(query, [(user_id, n, *rest) for n in others]),
        ]

    async def _bucket(self, photo: Photo, now: int) -> int:
        since = await self._hot_since(photo.user_id)
        if since is None or now < since + _HOT_GRACE_MS:
            return 0
        return zlib.crc32(photo.photo_id.encode()) % _BUCKETS

    async def _hot_since(self, user_id: str) -> int | None:
        known = self._hot.get(user_id)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        rows = await self._session.execute(_SELECT_HOT, (checked_id(user_id, "u_"),))
        since = rows[0].since if rows else None
        if len(self._hot) >= _CACHED_USERS:
            self._hot.clear()
        self._hot[user_id] = (time.monotonic() + _HOT_CACHE_S, since)
        return since


class _Stored(NamedTuple):
    photo: Photo
    bucket: int | None


def _inserted(photo: Photo) -> tuple[object, ...]:
    """The parameters of _INSERT. Raises Unrecoverable(invalid_event)."""
    return (
        checked_id(photo.photo_id, "ph_"),
        checked_id(photo.user_id, "u_"),
        photo.status,
        photo.filename,
        photo.content_type,
        photo.size_bytes,
        photo.object_key,
        photo.caption,
        photo.tags,
        photo.alt_text,
        _pair(photo.location),
        _pair(photo.focus),
        photo.sha256,
        photo.expires_at,
        photo.version,
    )


def _updated(photo: Photo, bucket: int | None, stored_version: int) -> tuple[object, ...]:
    """The parameters of _UPDATE."""
    return (
        photo.status,
        photo.caption,
        photo.tags,
        photo.alt_text,
        _pair(photo.location),
        photo.sha256,
        photo.width,
        photo.height,
        photo.placeholder,
        [astuple(variant) for variant in photo.variants],
        photo.published_at,
        bucket,
        photo.reason,
        photo.version,
        photo.photo_id,
        stored_version,
    )


def _photo(row: Row) -> Photo:
    """The record of a row; columns that were never written are the record's defaults."""
    return Photo(
        photo_id=row.photo_id,
        user_id=row.user_id,
        status=PhotoStatus(row.status),
        filename=row.filename,
        content_type=row.content_type,
        size_bytes=row.size_bytes,
        object_key=row.object_key,
        caption=row.caption,
        tags=tuple(row.tags or ()),
        alt_text=row.alt_text,
        location=Location(*row.location) if row.location else None,
        focus=Focus(*row.focus) if row.focus else None,
        sha256=row.sha256,
        expires_at=row.expires_at,
        width=row.width or 0,
        height=row.height or 0,
        placeholder=row.placeholder or "",
        variants=tuple(VariantRef(*variant) for variant in row.variants or ()),
        published_at=row.published_at,
        reason=row.reason,
        version=row.version,
        fan_out=FanOut(Delivery(row.delivery), row.fan_out_event, row.decided_at)
        if row.delivery
        else None,
    )


def _pair(place: Location | Focus | None) -> tuple[float, float] | None:
    return None if place is None else cast("tuple[float, float]", astuple(place))

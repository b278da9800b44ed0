"""The Cassandra ports in memory, for pure tests; they pass the contract tests of the real ones."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import replace

from domain import ids, photo_states
from domain.duplicates import Stored
from domain.entities import (
    Comment,
    Counts,
    Cursor,
    FanOut,
    FeedEntry,
    Notification,
    Photo,
    PhotoStatus,
    Unheld,
)
from domain.errors import Reason, StoreAway, Unrecoverable
from domain.feed import older
from domain.notice_lines import count_distinct
from stores.checks import checked_id, checked_version

_UNREAD_LIMIT = 1000


class MemoryPhotos:
    """`domain.ports.photos.Photos`."""

    def __init__(self) -> None:
        self.rows: dict[str, Photo] = {}
        self.hot: dict[str, int] = {}

    async def add(self, photo: Photo) -> None:
        """Keep the row unless there is one."""
        checked_id(photo.user_id, "u_")
        stored = self.rows.setdefault(checked_id(photo.photo_id, "ph_"), photo)
        if stored.user_id != photo.user_id:
            raise Unrecoverable(Reason.INVALID_EVENT, f"{photo.photo_id} is taken")

    async def get(self, photo_id: str) -> Photo | None:
        """The row in whatever state it is."""
        return self.rows.get(checked_id(photo_id, "ph_"))

    async def get_many(self, photo_ids: Sequence[str]) -> dict[str, Photo]:
        """Those that exist."""
        found = {photo_id: await self.get(photo_id) for photo_id in photo_ids}
        return {photo_id: photo for photo_id, photo in found.items() if photo is not None}

    async def mark_processing(self, photo: Photo) -> None:
        """awaiting_upload → processing; else nothing."""
        self._change(photo.photo_id, lambda stored: photo_states.processing(stored, photo))

    async def reject(self, photo_id: str, reason: str) -> bool:
        """Whether the photo is rejected now."""
        stored = self._change(photo_id, lambda row: photo_states.rejected(row, reason))
        return stored.status is PhotoStatus.REJECTED

    async def restore(self, photo_id: str) -> Photo:
        """Rejected as blocked → processing; the row afterwards."""
        return self._change(photo_id, photo_states.restored)

    async def publish(self, photo: Photo, now: int) -> Photo | None:
        """The row as first published; None when deleted or rejected."""
        stored = self._change(photo.photo_id, lambda row: photo_states.published(row, photo, now))
        return stored if stored.status is PhotoStatus.PUBLISHED else None

    async def revise(self, photo_id: str, change: Callable[[Photo], Photo]) -> Photo | None:
        """The live post after a pure change; None when it isn't live."""
        stored = self._change(photo_id, lambda row: photo_states.revised(row, change))
        return stored if stored.status is PhotoStatus.PUBLISHED else None

    async def decide(self, photo_id: str, wanted: FanOut) -> FanOut | None:
        """The decision that stands; None when the post isn't live."""
        stored = self._change(photo_id, lambda row: photo_states.decided(row, wanted))
        return stored.fan_out if stored.status is PhotoStatus.PUBLISHED else None

    async def delete(self, photo_id: str) -> Photo:
        """The tombstone."""
        return self._change(photo_id, photo_states.deleted)

    async def scan(self) -> AsyncIterator[Photo]:
        """All rows."""
        for row in list(self.rows.values()):
            yield row

    async def by_user(self, user_id: str, before: Cursor | None, limit: int) -> list[FeedEntry]:
        """Live posts, newest first, strictly before the cursor."""
        return older(sorted(self._live(user_id), reverse=True), before)[:limit]

    async def count_by_user(self, user_id: str) -> int:
        """How many live posts a user has."""
        return len(self._live(user_id))

    async def flag_hot(self, user_id: str, now: int) -> None:
        """Remember it: a twin has one partition."""
        self.hot.setdefault(user_id, now)

    async def own_by_sha256(self, user_id: str, sha256: str) -> Photo | None:
        """The user's live post that was last published from these bytes."""
        same = [self.rows[e.post_id] for e in self._live(user_id)]
        same = [row for row in same if row.sha256 == sha256]
        return max(same, key=lambda row: (row.published_at or 0, row.photo_id), default=None)

    def _live(self, user_id: str) -> list[FeedEntry]:
        checked_id(user_id, "u_")
        return [
            FeedEntry(row.published_at, row.photo_id, user_id)
            for row in self.rows.values()
            if row.user_id == user_id
            and row.status is PhotoStatus.PUBLISHED
            and row.published_at is not None
        ]

    def _change(self, photo_id: str, step: Callable[[Photo], Photo | None]) -> Photo:
        if checked_id(photo_id, "ph_") not in self.rows:
            raise Unrecoverable(Reason.UNKNOWN_POST, photo_id)
        stored = self.rows[photo_id]
        self.rows[photo_id] = step(stored) or stored
        return self.rows[photo_id]


class MemoryRenditions:
    """`domain.ports.photos.Renditions`."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Stored] = {}
        self.log: list[tuple[int, str]] = []

    async def add(self, sha256: str, encoder: str, stored: Stored, now: int) -> None:
        """Remember renditions; the newest owner counts."""
        checked_id(stored.user_id, "u_")
        self.rows[sha256, encoder] = stored
        self.log.append((now, sha256))

    async def get(self, sha256: str, encoder: str) -> Stored | None:
        """What `encoder` made of these bytes."""
        return self.rows.get((sha256, encoder))

    async def forget(self, sha256: str, encoder: str, user_id: str) -> None:
        """Drop what is about objects of this user."""
        found = self.rows.get((sha256, encoder))
        if found is not None and found.user_id == checked_id(user_id, "u_"):
            del self.rows[sha256, encoder]

    async def added(self, since: int, until: int) -> AsyncIterator[list[str]]:
        """Hashes added from `since` on."""
        yield [sha256 for at, sha256 in reversed(self.log) if since <= at <= until]


class MemoryMediaRefs:
    """`domain.ports.photos.MediaRefs`."""

    def __init__(self) -> None:
        self.holders: dict[tuple[str, str], set[str]] = {}
        self.by_photo: dict[str, set[str]] = {}
        self.waiting: dict[Unheld, None] = {}
        self.removing: set[tuple[str, str]] = set()

    async def hold(self, user_id: str, hashes: Collection[str], photo_id: str) -> None:
        """The photo needs these. Raises StoreAway while one is being removed."""
        checked_id(user_id, "u_")
        self.by_photo.setdefault(checked_id(photo_id, "ph_"), set()).update(hashes)
        for each in hashes:
            self.holders.setdefault((user_id, each), set()).add(photo_id)
        if any((user_id, each) in self.removing for each in hashes):
            raise StoreAway("an object is being removed")

    async def held(self, photo_id: str) -> set[str]:
        """The hashes that the photo holds."""
        return set(self.by_photo.get(checked_id(photo_id, "ph_"), ()))

    async def release(self, user_id: str, hashes: Collection[str], photo_id: str, now: int) -> None:
        """The photo needs these no more."""
        mine = self.by_photo.get(checked_id(photo_id, "ph_"), set())
        for each in hashes:
            holders = self.holders.get((checked_id(user_id, "u_"), each), set())
            holders.discard(photo_id)
            if not holders:
                self.waiting[Unheld(now, user_id, each)] = None
            mine.discard(each)

    async def unheld(self, before: int, limit: int) -> list[Unheld]:
        """Objects without a holder since before a time, oldest first."""
        found = [each for each in self.waiting if each.since < before]
        return sorted(found, key=lambda each: each.since)[:limit]

    async def remove(self, unheld: Unheld, delete: Callable[[], Awaitable[None]]) -> bool:
        """Call `delete` unless somebody holds the object now."""
        key = (unheld.user_id, unheld.hash)
        if key in self.removing:
            raise StoreAway("another remover is at it")
        self.removing.add(key)
        free = not self.holders.get(key)
        if free:
            await delete()
        self.waiting.pop(unheld, None)
        self.removing.discard(key)
        return free


class MemoryReactions:
    """`domain.ports.reactions.Reactions`."""

    def __init__(self) -> None:
        self.likes: dict[tuple[str, str], tuple[int, bool]] = {}
        self.comments: dict[str, tuple[int, Comment]] = {}
        self.counts: dict[str, Counts] = {}

    async def set_like(self, post_id: str, user_id: str, version: int, *, liked: bool) -> bool:
        """Newest version wins."""
        key = (checked_id(post_id, "ph_"), checked_id(user_id, "u_"))
        new = (checked_version(version), liked)
        self.likes[key] = max(self.likes.get(key, new), new)
        return self.likes[key][1]

    async def likers(self, post_id: str) -> list[str]:
        """Everyone who likes the post, by user id."""
        checked_id(post_id, "ph_")
        return sorted(
            user for (post, user), (_, liked) in self.likes.items() if liked and post == post_id
        )

    async def likers_page(self, post_id: str, after: str | None, limit: int) -> list[str]:
        """Users who like the post, strictly after `after`."""
        return [user for user in await self.likers(post_id) if user > (after or "")][:limit]

    async def has_liked(self, post_ids: Sequence[str], user_id: str) -> set[str]:
        """Those of `post_ids` that the user likes."""
        return {post_id for post_id in post_ids if user_id in await self.likers(post_id)}

    async def set_comment(self, comment: Comment, version: int) -> None:
        """Newest version wins; a tombstone stays and has no text."""
        checked_id(comment.user_id, "u_")
        checked_id(comment.post_id, "ph_")
        kept, _ = self.comments.get(checked_id(comment.comment_id, "cm_"), (0, None))
        if checked_version(version) > kept:
            text = "" if comment.deleted else comment.text
            self.comments[comment.comment_id] = (version, replace(comment, text=text))

    async def get_comment(self, post_id: str, comment_id: str) -> Comment | None:
        """The comment or its tombstone."""
        checked_id(post_id, "ph_")
        _, comment = self.comments.get(checked_id(comment_id, "cm_"), (0, None))
        return comment if comment and comment.post_id == post_id else None

    async def comment_post(self, comment_id: str) -> str | None:
        """The post a comment belongs to."""
        _, comment = self.comments.get(checked_id(comment_id, "cm_"), (0, None))
        return None if comment is None else comment.post_id

    async def comments_page(self, post_id: str, before: str | None, limit: int) -> list[Comment]:
        """Live comments, newest first, strictly before a comment id."""
        live = [c for c in self._live(post_id) if before is None or c.comment_id < before]
        return sorted(live, key=lambda comment: comment.comment_id, reverse=True)[:limit]

    async def count_comments(self, post_id: str) -> int:
        """Live comments, counted."""
        return len(self._live(post_id))

    async def put_counts(self, post_id: str, counts: Counts) -> None:
        """Keep the absolute counts."""
        self.counts[checked_id(post_id, "ph_")] = counts

    async def get_counts(self, post_ids: Sequence[str]) -> dict[str, Counts]:
        """The counts of those that have any."""
        return {post_id: self.counts[post_id] for post_id in post_ids if post_id in self.counts}

    def _live(self, post_id: str) -> list[Comment]:
        checked_id(post_id, "ph_")
        return [c for _, c in self.comments.values() if c.post_id == post_id and not c.deleted]


class MemoryNotifications:
    """`domain.ports.reactions.Notifications`."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Notification] = {}
        self.reads: dict[str, str] = {}

    async def add(self, notification: Notification) -> None:
        """Store it; the same id twice is once."""
        checked_id(notification.actor_id, "u_")
        if notification.post_id is not None:
            checked_id(notification.post_id, "ph_")
        key = (
            checked_id(notification.user_id, "u_"),
            checked_id(notification.notification_id, "nt_"),
        )
        self.rows[key] = notification

    async def page(self, user_id: str, before: str | None, limit: int) -> list[Notification]:
        """Newest first, strictly before a notification id."""
        checked_id(user_id, "u_")
        mine = [row for row in self.rows.values() if row.user_id == user_id]
        mine.sort(key=lambda row: row.notification_id, reverse=True)
        return [row for row in mine if before is None or row.notification_id < before][:limit]

    async def read_up_to(self, user_id: str) -> str:
        """The id up to which everything is read, "" for none."""
        return self.reads.get(checked_id(user_id, "u_"), "")

    async def mark_read(self, user_id: str, up_to: str) -> None:
        """Never moves backwards."""
        ids.read(checked_id(up_to, "nt_"))
        self.reads[user_id] = max(await self.read_up_to(user_id), up_to)

    async def unread_count(self, user_id: str) -> int:
        """How many of up to 1,000 are unread; one person's likes of a post are one."""
        read = await self.read_up_to(user_id)
        newest = await self.page(user_id, None, _UNREAD_LIMIT)
        return count_distinct([row for row in newest if row.notification_id > read])

"""The nouns of the system, as plain frozen records. Times are milliseconds since the epoch, UTC."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from schemas.events import Focus, Location, VariantRef


@dataclass(frozen=True, slots=True)
class User:
    """A person's public profile."""

    user_id: str
    username: str
    display_name: str
    bio: str
    avatar_photo_id: str | None
    created_at: int


@dataclass(frozen=True, slots=True)
class Edge:
    """follower → followee. After an unfollow the row stays as a tombstone (`following` False)."""

    follower_id: str
    followee_id: str
    version: int
    following: bool
    changed_at: int


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An event on its way from PostgreSQL to Kafka: already encoded."""

    row_id: int
    topic: str
    key: bytes
    payload: bytes
    headers: tuple[tuple[str, bytes], ...]


class PhotoStatus(StrEnum):
    """What has become of an upload (contract: GET /photos/{id}/status)."""

    AWAITING_UPLOAD = "awaiting_upload"
    PROCESSING = "processing"
    PUBLISHED = "published"
    REJECTED = "rejected"
    DELETED = "deleted"


class Delivery(StrEnum):
    """How a post reaches feeds, decided once when its fan-out starts."""

    PUSH = "push"
    PULL = "pull"


@dataclass(frozen=True, slots=True)
class FanOut:
    """The decision about one post, with the event that led to it and when (Unix ms)."""

    delivery: Delivery
    event_id: str
    decided_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A photo and the post it becomes: one row from the first call to the tombstone."""

    photo_id: str
    user_id: str
    status: PhotoStatus
    filename: str
    content_type: str
    size_bytes: int
    object_key: str
    caption: str = ""
    tags: tuple[str, ...] = ()
    alt_text: str = ""
    location: Location | None = None
    focus: Focus | None = None
    sha256: str | None = None
    expires_at: int = 0
    width: int = 0
    height: int = 0
    placeholder: str = ""
    variants: tuple[VariantRef, ...] = ()
    published_at: int | None = None
    reason: str | None = None
    version: int = 0
    fan_out: FanOut | None = None


@dataclass(frozen=True, slots=True)
class Unheld:
    """An object of the media bucket that no photo needs any more, since a time."""

    since: int
    user_id: str
    hash: str


class FeedEntry(NamedTuple):
    """One post in a feed; entries sort by (published_at, post_id), newest is greatest.

    A tuple, as `Cursor` and `Counts` are: a page makes dozens of each, and compares them.
    """

    published_at: int
    post_id: str
    author_id: str


class Cursor(NamedTuple):
    """A place between entries: a page holds what is strictly older."""

    published_at: int
    post_id: str


class Counts(NamedTuple):
    """Absolute reaction counts of a post."""

    likes: int = 0
    comments: int = 0


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment; ids sort by time."""

    comment_id: str
    post_id: str
    user_id: str
    text: str
    created_at: int
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing to tell one person; `notification_id` is a function of the event that caused it."""

    notification_id: str
    user_id: str
    type: str
    actor_id: str
    post_id: str | None
    created_at: int

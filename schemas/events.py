"""The events: one frozen record per `.avsc` file of this folder (contract, section 3).

Times are milliseconds since the epoch, UTC. `version` is the version of the entity the event
speaks of; order between events is never promised, so whoever applies one compares versions.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """Where a photo was taken, degrees (WGS 84)."""

    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class Focus:
    """The point of a picture that a crop keeps, 0..1 from the top left."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class VariantRef:
    """A stored rendition: `hash` is the SHA-256 of its bytes, hexadecimal."""

    name: str
    hash: str
    width: int
    height: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event has. `event_id` orders by time and is the same on every retry."""

    event_id: str
    occurred_at: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadCompleted(Event):
    """An uploaded object was verified by HEAD and accepted for processing."""

    photo_id: str
    user_id: str
    object_key: str
    etag: str
    content_type: str
    size_bytes: int
    caption: str
    tags: tuple[str, ...]
    alt_text: str
    location: Location | None = None
    focus: Focus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoProcessed(Event):
    """All variants of a photo are stored."""

    photo_id: str
    user_id: str
    caption: str
    tags: tuple[str, ...]
    alt_text: str
    location: Location | None = None
    sha256: str
    width: int
    height: int
    placeholder: str
    variants: tuple[VariantRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoRejected(Event):
    """A photo will never be published; the reason is from a closed list."""

    photo_id: str
    user_id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PostPublished(Event):
    """A post's row is durable and may be seen."""

    post_id: str
    user_id: str
    published_at: int
    caption: str
    tags: tuple[str, ...]
    alt_text: str
    location: Location | None = None
    width: int
    height: int
    placeholder: str
    variants: tuple[VariantRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostEdited(Event):
    """The words or the variants of a post changed."""

    post_id: str
    user_id: str
    published_at: int
    caption: str
    tags: tuple[str, ...]
    alt_text: str
    location: Location | None = None
    width: int
    height: int
    placeholder: str
    variants: tuple[VariantRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostDeleted(Event):
    """A post is gone for good."""

    post_id: str
    user_id: str
    published_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FanoutChunk(Event):
    """Deliver one post to the followers with after_id < follower_id <= upto_id.

    With `mark` it isn't the post that is delivered: the feeds are told that the author's posts are
    pulled from this one on.
    """

    post_id: str
    user_id: str
    published_at: int
    chunk_no: int
    after_id: str
    upto_id: str
    mark: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowCreated(Event):
    """follower_id follows followee_id as of this edge version."""

    follower_id: str
    followee_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowDeleted(Event):
    """follower_id no longer follows followee_id as of this edge version."""

    follower_id: str
    followee_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LikeCreated(Event):
    """user_id likes post_id, a post of author_id."""

    post_id: str
    user_id: str
    author_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LikeDeleted(Event):
    """user_id no longer likes post_id."""

    post_id: str
    user_id: str
    author_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentCreated(Event):
    """user_id commented on post_id, a post of author_id."""

    comment_id: str
    post_id: str
    user_id: str
    author_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentDeleted(Event):
    """A comment was taken away by its writer or the post's author."""

    comment_id: str
    post_id: str
    user_id: str
    author_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRequested(Event):
    """Tell user_id on their devices."""

    notification_id: str
    user_id: str
    type: str
    actor_id: str
    post_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserErased(Event):
    """Every store forgets user_id."""

    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTraced(Event):
    """One stage handled one event of a photo's way."""

    photo_id: str
    stage: str
    topic: str
    partition: int
    offset: int
    wait_ms: int
    work_ms: int
    outcome: str

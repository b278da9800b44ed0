"""What the system needs of its servers, as Protocols: one a noun, implemented under `stores/`.

Every method is safe to repeat; where a version is taken, an older one than the stored is ignored.
All of them raise Transient (this call failed) or StoreAway (the server doesn't answer).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

from domain.duplicates import Stored
from domain.entities import (
    Comment,
    Counts,
    Cursor,
    Edge,
    FeedEntry,
    Notification,
    OutboxRow,
    Photo,
    Unheld,
    User,
)
from domain.moderation import BlockedHash, Case, Decided, NewCase
from domain.uploads import OpenUpload, Part
from domain.webhooks import Target, Webhook
from schemas.events import Event, UploadCompleted
from topics.topic import Topic

E = TypeVar("E", bound=Event)

# --- PostgreSQL -------------------------------------------------------------------------------


class Users(Protocol):
    """Accounts and profiles."""

    async def add(self, user: User, password_hash: str) -> bool:
        """Store a new account; False when the username is taken (case-insensitively)."""

    async def get(self, user_id: str) -> User | None:
        """The profile, or None."""

    async def get_many(self, user_ids: Sequence[str]) -> dict[str, User]:
        """Those of `user_ids` that exist."""

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


class Follows(Protocol):
    """The graph, both ways, with its history. A change and its event are one commit (outbox)."""

    async def follow(
        self,
        follower_id: str,
        followee_id: str,
        event_id: str,
        now: int,
        *,
        traceparent: str | None = None,
    ) -> Edge:
        """Make the edge and enqueue follow.created; the present edge when it was there already.

        Raises NotFound when either of them has no account.
        """

    async def unfollow(
        self,
        follower_id: str,
        followee_id: str,
        event_id: str,
        now: int,
        *,
        traceparent: str | None = None,
    ) -> Edge:
        """Leave a tombstone and enqueue follow.deleted; no event when nothing changed.

        Raises NotFound when either of them has no account.
        """

    async def edge(self, follower_id: str, followee_id: str) -> Edge | None:
        """The edge or its tombstone."""

    async def following(self, follower_id: str) -> list[str]:
        """Everyone `follower_id` follows now, sorted."""

    async def followers_between(self, followee_id: str, after_id: str, upto_id: str) -> list[str]:
        """Present followers with after_id < id <= upto_id, sorted ("" is the start)."""

    def chunk_bounds(self, followee_id: str, size: int) -> AsyncIterator[tuple[str, str]]:
        """(after_id, upto_id) ranges of at most `size` present followers, in order."""

    async def followers_page(
        self, followee_id: str, before: tuple[int, str] | None, limit: int
    ) -> list[Edge]:
        """Present followers, newest edge first, strictly before (changed_at, follower_id)."""

    async def following_page(
        self, follower_id: str, before: tuple[int, str] | None, limit: int
    ) -> list[Edge]:
        """Present followees, newest edge first, strictly before (changed_at, followee_id)."""

    async def counts(self, user_id: str) -> tuple[int, int]:
        """(followers, following) counted from the edges: exact, for when no cache has them."""


class Celebrities(Protocol):
    """The sticky flag's durable home (seed section 10): set once, cleared by an operator alone."""

    async def flag(self, user_id: str, followers: int, now: int) -> None:
        """Mark as a celebrity; once set, later calls change nothing until cleared."""

    async def is_flagged(self, user_id: str) -> bool:
        """Whether the flag is set."""

    async def flagged(self) -> list[tuple[str, int, int]]:
        """All of them: (user_id, followers when flagged, flagged at)."""

    async def clear(self, user_id: str) -> bool:
        """Take the flag away; False when it wasn't set."""

    async def threshold(self) -> int | None:
        """The operator's live threshold, None when never set."""

    async def set_threshold(self, followers: int) -> None:
        """Set the live threshold."""


class Webhooks(Protocol):
    """Users' webhooks; a user has one at most."""

    async def put(self, hook: Webhook) -> bool:
        """Set it, in place of a former one; False when there is no such account."""

    async def get(self, user_id: str) -> Webhook | None:
        """The webhook, or None."""

    async def note(self, hook: Webhook) -> None:
        """Keep how its calls went, unless it was set anew since."""

    async def drop(self, user_id: str) -> None:
        """Forget it; absent is fine."""


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


class MachineLeases(Protocol):
    """Machine ids of the id generator, leased durably (seed section 9, I12)."""

    async def acquire(self, holder: str, ttl_s: float, use_until: int) -> tuple[int, int]:
        """A free machine id (0..1023) and the last millisecond that a former holder was granted.

        The holder may make ids for the milliseconds between that one and `use_until`.
        Raises Transient when all are leased.
        """

    async def renew(self, machine_id: int, holder: str, ttl_s: float, use_until: int) -> bool:
        """Extend lease and granted range; False when the lease is no longer the holder's."""

    async def release(self, machine_id: int, holder: str, used_until: int) -> None:
        """Give the id back, remembering the last millisecond it was used for."""


class Outbox(Protocol):
    """Events that were committed together with their cause and await Kafka."""

    async def drain(
        self, publish: Callable[[Sequence[OutboxRow]], Awaitable[None]], limit: int
    ) -> int:
        """Publish up to `limit` rows, oldest first, then delete them; how many.

        One transaction: when `publish` raises or the process dies, they are there again. Rows that
        another drain holds are skipped.
        """

    async def wait(self, timeout_s: float) -> None:
        """Return when something was enqueued, at the latest after `timeout_s`."""

    async def depth(self) -> tuple[int, float]:
        """How many rows wait, up to 10,000, and the oldest one's age in seconds (0 for none)."""


# --- Cassandra --------------------------------------------------------------------------------


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


class OpenUploads(Protocol):
    """Uploads whose end is not settled, by the minute (since 1970) they were announced in."""

    async def add(self, upload: OpenUpload) -> None:
        """Remember an upload; twice is once."""

    async def upload_id(self, photo_id: str) -> str | None:
        """The multipart upload of an open upload, None without one or when it is closed."""

    async def of_minutes(self, minutes: Sequence[int]) -> dict[int, list[OpenUpload]]:
        """The open uploads announced in these minutes, by minute; empty ones lack."""

    async def close(self, photo_id: str) -> None:
        """Its end is settled; twice is once."""


class Reactions(Protocol):
    """Likes, comments and their absolute counts, each row with its version."""

    async def set_like(self, post_id: str, user_id: str, version: int, *, liked: bool) -> bool:
        """Apply a like or an unlike; whether the viewer likes the post afterwards (newest wins)."""

    async def likers(self, post_id: str) -> list[str]:
        """Everyone who likes the post now."""

    async def likers_page(self, post_id: str, after: str | None, limit: int) -> list[str]:
        """Users who like the post, by user id, strictly after `after`."""

    async def has_liked(self, post_ids: Sequence[str], user_id: str) -> set[str]:
        """Those of `post_ids` that the user likes."""

    async def set_comment(self, comment: Comment, version: int) -> None:
        """Apply a comment or its deletion; a tombstone stays."""

    async def get_comment(self, post_id: str, comment_id: str) -> Comment | None:
        """The comment or its tombstone."""

    async def comment_post(self, comment_id: str) -> str | None:
        """The post a comment belongs to."""

    async def comments_page(self, post_id: str, before: str | None, limit: int) -> list[Comment]:
        """Live comments, newest first, strictly before a comment id."""

    async def count_comments(self, post_id: str) -> int:
        """Live comments, counted."""

    async def put_counts(self, post_id: str, counts: Counts) -> None:
        """Keep the absolute counts (never increments: those are not safe to repeat)."""

    async def get_counts(self, post_ids: Sequence[str]) -> dict[str, Counts]:
        """The durable counts of those that have any."""


class Notifications(Protocol):
    """In-app notifications by recipient, newest first."""

    async def add(self, notification: Notification) -> None:
        """Store it; the same id twice is once."""

    async def page(self, user_id: str, before: str | None, limit: int) -> list[Notification]:
        """Newest first, strictly before a notification id."""

    async def read_up_to(self, user_id: str) -> str:
        """The id up to which everything is read, "" for none."""

    async def mark_read(self, user_id: str, up_to: str) -> None:
        """Everything up to and including this id is read; never moves backwards."""

    async def unread_count(self, user_id: str) -> int:
        """How many are newer than `read_up_to`, counted up to 1,000."""


# --- Redis ------------------------------------------------------------------------------------


class Timelines(Protocol):
    """The feed sets `feed:{user_id}`: exact above their floor, or cold."""

    async def push(self, entry: FeedEntry, user_ids: Sequence[str]) -> int:
        """Add to each feed that exists (built or building); twice is once; how many exist."""

    async def exists(self, user_id: str) -> bool:
        """Whether there is a feed, built or building, that backfills would reach."""

    async def page(self, user_id: str, before: Cursor | None, limit: int) -> "FeedPage | None":
        """Entries newest first, strictly before the cursor; None when the feed is cold."""

    async def begin_build(self, user_id: str) -> str:
        """Mark as building, so that pushes arrive; a token that `finish_build` must show."""

    async def finish_build(self, user_id: str, token: str, entries: Sequence[FeedEntry]) -> bool:
        """Merge the entries in (never replace) and mark built; False when the build was voided."""

    async def add_entries(self, user_id: str, entries: Sequence[FeedEntry]) -> None:
        """Backfill a feed that exists, above its floor."""

    async def remove_author(self, user_id: str, author_id: str) -> None:
        """Take one author's entries out of a feed."""

    async def drop(self, user_id: str) -> None:
        """Make it cold."""


class FeedPage(Protocol):
    """A page of a built feed."""

    @property
    def entries(self) -> list[FeedEntry]:
        """Newest first."""

    @property
    def floor(self) -> Cursor | None:
        """Where the set ends because older entries were trimmed; None when nothing was."""


class FollowCache(Protocol):
    """`following:{user_id}`, `followers:{user_id}` and `celebrity:{user_id}`."""

    async def following(self, user_id: str) -> frozenset[str] | None:
        """The cached follow set; None when it must be read from the graph."""

    async def put_following(self, user_id: str, followees: Sequence[str], token: str) -> None:
        """Cache the follow set for its TTL, unless `forget_following` came since the token."""

    async def following_token(self, user_id: str) -> str:
        """Taken before reading the graph, shown to `put_following`."""

    async def forget_following(self, user_id: str) -> None:
        """Invalidate after a change of the graph."""

    async def put_follower_count(self, user_id: str, followers: int) -> None:
        """Keep the absolute follower count."""

    async def follower_count(self, user_id: str) -> int | None:
        """The count, None when unknown here."""

    async def put_celebrity(self, user_id: str, *, flagged: bool) -> None:
        """Mirror the sticky flag."""

    async def is_celebrity(self, user_id: str) -> bool | None:
        """The mirrored flag, None when unknown here."""


class PostCache(Protocol):
    """`post:{id}`: posts and people as ready bytes, with an hour's life renewed on access."""

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The ready bytes of posts (`ph_…`) or people (`u_…`), None where absent."""

    async def put(self, items: Mapping[str, bytes]) -> None:
        """Fill what is absent, for the TTL with jitter; what is there is newer and stays."""

    async def replace(self, items: Mapping[str, bytes]) -> None:
        """Keep these whatever is there; no bytes say that there is no such post any more.

        So a reader who read the durable row before it changed can't fill the old one in.
        """

    async def forget(self, keys: Sequence[str]) -> None:
        """Drop them."""


class ReactionCache(Protocol):
    """`likes:{post_id}` sets and `counts:{post_id}`: the hot side of reactions.

    The stage count_reactions alone changes a warm set: only it knows whose turn it is.
    """

    async def note_click(self, post_id: str, user_id: str, event_id: str, *, liked: bool) -> None:
        """Keep for a few seconds what a viewer clicked; only they see it. The newest event wins."""

    async def put_like(self, post_id: str, user_id: str, *, liked: bool) -> int | None:
        """Apply to a warm set and give its size; None when the set is cold."""

    async def put_likers(self, post_id: str, likers: Sequence[str]) -> int:
        """Warm the set from the durable likes; its size."""

    async def put_counts(self, post_id: str, counts: Counts) -> None:
        """Keep the absolute counts."""

    async def warm(self, found: Mapping[str, tuple[Counts, Sequence[str]]]) -> None:
        """Fill what is cold with durable counts and likers; what is there is newer and stays."""

    async def get(
        self, post_ids: Sequence[str], viewer_id: str
    ) -> list[tuple[Counts | None, bool, bool | None]]:
        """(counts or None when cold, liked by viewer, their click) of each post, in one trip.

        The click is what `note_click` kept: True for a like, None when there is none.
        """


# --- the rest ---------------------------------------------------------------------------------


class SearchIndex(Protocol):
    """Posts as search documents with external versions."""

    async def put(self, post_id: str, document: Mapping[str, object], version: int) -> None:
        """Index unless a newer version (or tombstone) is there."""

    async def bury(self, post_id: str, version: int) -> None:
        """Leave a versioned tombstone that no search finds."""

    async def by_tag(self, tag: str, before: Cursor | None, limit: int) -> list[FeedEntry]:
        """Posts with a tag, newest first."""


class Objects(Protocol):
    """Object storage: the uploads bucket and the private media bucket."""

    async def presign_put(
        self, key: str, content_type: str, size_bytes: int, expires_s: int, sha256: str | None
    ) -> tuple[str, dict[str, str]]:
        """A PUT URL with If-None-Match:* and every header the client must send."""

    async def head(self, bucket: str, key: str) -> "ObjectInfo | None":
        """Size, type and ETag, None when there is no such object."""

    async def get(self, bucket: str, key: str, *, etag: str | None = None) -> bytes:
        """The bytes. Raises Unrecoverable(missing_object) when gone or of another ETag."""

    async def put(self, bucket: str, key: str, data: bytes, content_type: str) -> None:
        """Store; the same bytes twice is once."""

    async def delete(self, bucket: str, key: str) -> None:
        """Remove; absent is fine."""


class Multiparts(Protocol):
    """Multipart uploads into the uploads bucket; the object appears when one is completed."""

    async def begin(self, key: str, content_type: str) -> str:
        """Open a multipart upload of that type; its id. Every call opens another."""

    async def presign_parts(
        self, key: str, upload_id: str, parts: Sequence[Part], expires_s: int
    ) -> list[str]:
        """A URL for each part; another length than the part's is refused."""

    async def presign_complete(
        self, key: str, upload_id: str, expires_s: int
    ) -> tuple[str, dict[str, str]]:
        """A POST URL with which a client completes by itself, and every header it must send."""

    async def parts(self, key: str, upload_id: str) -> list[Part] | None:
        """The parts held, by number; None when the upload was completed or aborted."""

    async def complete(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        """Make the object of its parts; one that is there stays, so twice is once."""

    async def abort(self, key: str, upload_id: str) -> None:
        """Drop what was uploaded; twice is once, and a completed object stays."""

    async def abort_older(self, before_ms: int) -> int:
        """Abort every multipart upload begun before (Unix ms); how many."""


class ObjectInfo(Protocol):
    """What HEAD tells."""

    @property
    def size_bytes(self) -> int:
        """Length of the object."""

    @property
    def content_type(self) -> str:
        """Declared type."""

    @property
    def etag(self) -> str:
        """Entity tag, without quotes."""


class PictureEdge(Protocol):
    """The cache before the pictures."""

    async def purge(self, paths: Collection[str]) -> None:
        """Make readers of these URL paths get 404 or 410, and see that they do.

        Raises Transient when one is still served, StoreAway.
        """

    async def refresh(self, paths: Collection[str]) -> None:
        """Fetch these URL paths anew for all readers."""


class WebhookCalls(Protocol):
    """The way out to receivers on the public Internet."""

    async def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> int:
        """Call once; the status of the answer. Raises CallFailed, within the time limit."""


class EventLog(Protocol):
    """Kafka as the commit: a returned call means all in-sync replicas have it."""

    async def publish(
        self, topic: Topic[E], event: E, headers: Mapping[str, bytes] | None = None
    ) -> None:
        """Encode, partition by murmur2 of the key, wait for the acknowledgement."""

    async def publish_raw(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        timestamp_ms: int | None = None,
    ) -> None:
        """Write bytes as they are (retries, dead letters, replays)."""

    async def ping(self) -> None:
        """Whether it answers. Raises StoreAway."""

"""photo.processed → post.published.

The post's row is durable before its event exists, so whoever hears of a post can read it (seed
section 6; I8). `published_at` is claimed once: a repeat publishes the same post.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from domain.entities import Photo
from domain.errors import Reason, Unrecoverable
from domain.ids import derived
from domain.ports.photos import Photos
from schemas.events import PhotoProcessed, PostPublished
from streams.runtime.runner import now_ms
from streams.runtime.stage import Emit
from topics.catalog import POST_PUBLISHED


def as_post(photo: Photo, event: PhotoProcessed) -> Photo:
    """The row with what processing found and what the uploader wrote."""
    return replace(
        photo,
        caption=event.caption,
        tags=event.tags,
        alt_text=event.alt_text,
        location=event.location,
        sha256=event.sha256,
        width=event.width,
        height=event.height,
        placeholder=event.placeholder,
        variants=event.variants,
    )


def published(event_id: str, post: Photo) -> PostPublished:
    """The event of a durable post, told from its row."""
    at = post.published_at or 0
    return PostPublished(
        event_id=event_id,
        occurred_at=at,
        version=post.version,
        post_id=post.photo_id,
        user_id=post.user_id,
        published_at=at,
        caption=post.caption,
        tags=post.tags,
        alt_text=post.alt_text,
        location=post.location,
        width=post.width,
        height=post.height,
        placeholder=post.placeholder,
        variants=post.variants,
    )


class PublishPost:
    """The handler of photo.processed."""

    def __init__(self, photos: Photos, clock: Callable[[], int] = now_ms) -> None:
        self._photos = photos
        self._clock = clock

    async def __call__(self, event: PhotoProcessed) -> Sequence[Emit]:
        """Publish once; nothing for a photo that was rejected or deleted meanwhile.

        Raises Unrecoverable(unknown_post) for a photo that has no row, StoreAway, Transient.
        """
        photo = await self._photos.get(event.photo_id)
        if photo is None:
            raise Unrecoverable(Reason.UNKNOWN_POST, event.photo_id)
        post = await self._photos.publish(as_post(photo, event), self._clock())
        if post is None:
            return []
        return [Emit(POST_PUBLISHED, published(derived(event.event_id, "published"), post))]

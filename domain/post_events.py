"""The events of a post's later life, told from its row."""

from domain.entities import Photo
from domain.ids import derived
from domain.photo_states import DELETED_VERSION
from schemas.events import PostDeleted, PostEdited


def edited(post: Photo, now: int) -> PostEdited:
    """The event of a row that was revised; the same id however often it is told."""
    return PostEdited(
        event_id=derived(post.photo_id.removeprefix("ph_"), f"edited{post.version}"),
        occurred_at=now,
        version=post.version,
        post_id=post.photo_id,
        user_id=post.user_id,
        published_at=post.published_at or 0,
        caption=post.caption,
        tags=post.tags,
        alt_text=post.alt_text,
        location=post.location,
        width=post.width,
        height=post.height,
        placeholder=post.placeholder,
        variants=post.variants,
    )


def deleted(post: Photo, now: int) -> PostDeleted:
    """The event that a post is to be gone; the same id however often it is told."""
    return PostDeleted(
        event_id=derived(post.photo_id.removeprefix("ph_"), "deleted"),
        occurred_at=now,
        version=DELETED_VERSION,
        post_id=post.photo_id,
        user_id=post.user_id,
        published_at=post.published_at or 0,
    )

"""Where the pictures of a post are on the edge: one pure function of the post."""

from collections.abc import Collection

from domain.entities import Photo
from domain.renditions import VARIANT_NAMES


def image_urls(edge_base: str, photo: Photo) -> dict[str, str]:
    """URL by variant name. Each carries the post's id and the hash of its bytes.

    So a URL's content never changes, and of two posts with the same bytes one can be gone while
    the other is served.
    """
    return {
        variant.name: edge_base + picture_path(photo.photo_id, variant.hash, variant.name)
        for variant in photo.variants
    }


def picture_path(photo_id: str, content_hash: str, name: str) -> str:
    """The URL path of one picture."""
    return f"/pub/{photo_id}/{content_hash}/{name}.jpg"


def picture_paths(photo_id: str, hashes: Collection[str]) -> list[str]:
    """Every URL path under which a post may have shown these bytes."""
    return [
        picture_path(photo_id, content_hash, name)
        for content_hash in sorted(hashes)
        for name in VARIANT_NAMES
    ]

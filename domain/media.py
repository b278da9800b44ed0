"""Where the pictures of a post are on the edge: one pure function of the post."""

from domain.entities import Photo


def image_urls(edge_base: str, photo: Photo) -> dict[str, str]:
    """URL by variant name. Each carries the post's id and the hash of its bytes.

    So a URL's content never changes, and of two posts with the same bytes one can be gone while
    the other is served.
    """
    return {
        variant.name: f"{edge_base}/pub/{photo.photo_id}/{variant.hash}/{variant.name}.jpg"
        for variant in photo.variants
    }

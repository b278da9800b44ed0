"""post.published, post.edited, post.deleted → OpenSearch.

External versions: an older event never replaces a newer document, and a deleted post leaves a
tombstone of its version, so no late event brings it back (I3; seed section 4).
"""

from collections.abc import Sequence

from domain.ports.photos import SearchIndex
from schemas.events import PostDeleted, PostEdited, PostPublished
from streams.runtime.stage import Emit


def document(event: PostPublished | PostEdited) -> dict[str, object]:
    """What is searched: words, tags, place, author and time (Unix milliseconds)."""
    place = event.location and {"lat": event.location.lat, "lon": event.location.lon}
    return {
        "post_id": event.post_id,
        "user_id": event.user_id,
        "caption": event.caption,
        "alt_text": event.alt_text,
        "tags": list(event.tags),
        "location": place,
        "published_at": event.published_at,
    }


class IndexSearch:
    """The handler of all three."""

    def __init__(self, index: SearchIndex) -> None:
        self._index = index

    async def __call__(self, event: PostPublished | PostEdited | PostDeleted) -> Sequence[Emit]:
        """Index or bury; twice is once. Raises StoreAway, Transient, Unrecoverable."""
        if isinstance(event, PostDeleted):
            await self._index.bury(event.post_id, event.version)
        else:
            await self._index.put(event.post_id, document(event), event.version)
        return ()

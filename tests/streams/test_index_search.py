"""Search documents: the newest version is found, a deleted post never is."""

from dataclasses import replace

from schemas.events import Location, PostDeleted, PostEdited, PostPublished
from stores.memory.search import MemorySearchIndex
from streams.index_search import IndexSearch, document
from tests.fresh import fresh_id

PUBLISHED = PostPublished(
    event_id=fresh_id(),
    occurred_at=9,
    version=3,
    post_id=fresh_id("ph_"),
    user_id=fresh_id("u_"),
    published_at=9,
    caption="a hill",
    tags=("hills",),
    alt_text="",
    location=Location(47.0, 11.5),
    width=1,
    height=1,
    placeholder="",
    variants=(),
)
EDITED = PostEdited(
    event_id=fresh_id(),
    occurred_at=10,
    version=4,
    post_id=PUBLISHED.post_id,
    user_id=PUBLISHED.user_id,
    published_at=9,
    caption="a dale",
    tags=("dales",),
    alt_text="",
    width=1,
    height=1,
    placeholder="",
    variants=(),
)
DELETED = PostDeleted(
    event_id=fresh_id(),
    occurred_at=11,
    version=5,
    post_id=PUBLISHED.post_id,
    user_id=PUBLISHED.user_id,
    published_at=9,
)


async def found(*events: PostPublished | PostEdited | PostDeleted) -> dict[str, int]:
    """How many posts each tag finds afterwards."""
    index = MemorySearchIndex()
    handle = IndexSearch(index)
    for event in events:
        assert list(await handle(event)) == []
    return {tag: len(await index.by_tag(tag, None, 10)) for tag in ("hills", "dales")}


async def test_the_newest_words_are_found_whatever_came_last() -> None:
    assert await found(PUBLISHED) == {"hills": 1, "dales": 0}
    assert await found(EDITED, PUBLISHED, PUBLISHED) == {"hills": 0, "dales": 1}


async def test_a_deleted_post_stays_deleted() -> None:
    assert await found(DELETED, PUBLISHED, EDITED) == {"hills": 0, "dales": 0}


def test_a_document_has_what_is_searched() -> None:
    assert document(PUBLISHED)["location"] == {"lat": 47.0, "lon": 11.5}
    assert document(replace(PUBLISHED, location=None))["location"] is None
    assert document(PUBLISHED)["tags"] == ["hills"]

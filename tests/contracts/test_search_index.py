"""The contract of `SearchIndex`, on OpenSearch and on its twin."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from domain.entities import Cursor, FeedEntry
from domain.errors import StoreAway, Unrecoverable
from domain.ports.photos import SearchIndex
from stores.connect import Stores
from stores.memory.search import MemorySearchIndex
from stores.opensearch_index import ALIAS, OpenSearchIndex
from tests.fresh import fresh_id, now_ms

if TYPE_CHECKING:
    from domain.settings import Settings

Settle = Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", "opensearch"])
def index(request: pytest.FixtureRequest) -> SearchIndex:
    if request.param == "memory":
        return MemorySearchIndex()
    stores: Stores = request.getfixturevalue("stores")
    return stores.search_index


@pytest.fixture
def settle(index: SearchIndex, request: pytest.FixtureRequest) -> Settle:
    """Waits until what was put is found: the engine's refresh, asked for."""

    async def refresh() -> None:
        if isinstance(index, OpenSearchIndex):
            settings: Settings = request.getfixturevalue("settings")
            async with httpx.AsyncClient(base_url=settings.url("search")) as client:
                (await client.post(f"/{ALIAS}/_refresh")).raise_for_status()

    return refresh


def document(tag: str, published_at: int, **other: object) -> tuple[dict[str, object], FeedEntry]:
    post_id, user_id = fresh_id("ph_"), fresh_id("u_")
    body: dict[str, object] = {
        "post_id": post_id,
        "user_id": user_id,
        "caption": "Abend am See 🌅",
        "tags": ["other", tag],
        "location": {"lat": 36.27, "lon": -121.81},
        "alt_text": "a lake",
        "published_at": published_at,
    }
    return {**body, **other}, FeedEntry(published_at, post_id, user_id)


async def test_a_post_is_found_by_its_exact_tag(index: SearchIndex, settle: Settle) -> None:
    tag = fresh_id("tag")
    body, entry = document(tag, now_ms(), location=None)
    await index.put(entry.post_id, body, 1)
    await index.put(entry.post_id, body, 1)
    await settle()
    [found] = await index.by_tag(tag, None, 10)
    assert (found, found.author_id) == (entry, entry.author_id)
    assert await index.by_tag(tag.swapcase(), None, 10) == []


async def test_older_versions_change_nothing(index: SearchIndex, settle: Settle) -> None:
    tag, edited = fresh_id("tag"), fresh_id("tag")
    body, entry = document(tag, now_ms())
    await index.put(entry.post_id, {**body, "tags": [edited]}, 7)
    await index.put(entry.post_id, body, 6)
    await settle()
    assert await index.by_tag(tag, None, 10) == []
    assert await index.by_tag(edited, None, 10) == [entry]


@pytest.mark.parametrize("early", [False, True])
async def test_a_buried_post_does_not_come_back(
    index: SearchIndex, settle: Settle, early: bool
) -> None:
    tag = fresh_id("tag")
    body, entry = document(tag, now_ms())
    if not early:
        await index.put(entry.post_id, body, 1)
    await index.bury(entry.post_id, 2)
    await index.bury(entry.post_id, 2)
    await index.put(entry.post_id, body, 1)
    await settle()
    assert await index.by_tag(tag, None, 10) == []


async def test_pages_never_skip_or_repeat_even_at_equal_times(
    index: SearchIndex, settle: Settle
) -> None:
    tag, now = fresh_id("tag"), now_ms()
    entries = []
    for at in (now, now + 1, now + 1, now + 1, now + 2):
        body, entry = document(tag, at)
        await index.put(entry.post_id, body, 1)
        entries.append(entry)
    await settle()
    seen: list[FeedEntry] = []
    before: Cursor | None = None
    while page := await index.by_tag(tag, before, 2):
        seen += page
        before = Cursor(seen[-1].published_at, seen[-1].post_id)
    assert seen == sorted(entries, reverse=True)


# --- what only the real server has ----------------------------------------------------------------


async def test_a_document_that_the_mapping_refuses_can_never_work(stores: Stores) -> None:
    body, entry = document("tag", now_ms(), surprise=1)
    with pytest.raises(Unrecoverable):
        await stores.search_index.put(entry.post_id, body, 1)


async def test_a_server_that_does_not_answer_is_away() -> None:
    index = OpenSearchIndex("http://127.0.0.1:9")
    async with asyncio.timeout(5):
        with pytest.raises(StoreAway):
            await index.by_tag("tag", None, 1)
    await index.close()

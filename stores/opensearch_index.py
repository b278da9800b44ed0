"""Posts in OpenSearch, behind the alias `posts` (schemas/search).

Versions are external, the newest wins. A deleted post is a document of its own, `deleted: true`:
the engine forgets the versions of documents it deleted itself after a minute.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opensearchpy import AsyncOpenSearch
from opensearchpy.exceptions import (
    ConnectionError as Unconnected,
)
from opensearchpy.exceptions import (
    RequestError,
    TransportError,
)

from domain.entities import Cursor, FeedEntry
from domain.errors import Reason, StoreAway, Transient, Unrecoverable
from stores.checks import checked_id, checked_version

ALIAS = "posts"
_TIMEOUT_S = 5.0
_CONFLICT = 409
_UNAVAILABLE = 503


class OpenSearchIndex:
    """`domain.ports.photos.SearchIndex`. What was put is found after the index's refresh, 1 s."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: AsyncOpenSearch | None = None

    async def put(self, post_id: str, document: Mapping[str, object], version: int) -> None:
        """Index unless a newer version (or tombstone) is there; twice is once.

        Raises Unrecoverable(invalid_event) for a document that the mapping refuses.
        """
        await self._write(post_id, {**document, "deleted": False}, version)

    async def bury(self, post_id: str, version: int) -> None:
        """Leave a versioned tombstone that no search finds; twice is once."""
        await self._write(post_id, {"post_id": post_id, "deleted": True}, version)

    async def by_tag(self, tag: str, before: Cursor | None, limit: int) -> list[FeedEntry]:
        """Posts with exactly this tag, newest first, strictly before the cursor."""
        query: dict[str, object] = {
            "size": limit,
            "track_total_hits": False,
            "query": {"bool": {"filter": [{"term": {"tags": tag}}, {"term": {"deleted": False}}]}},
            "sort": [{"published_at": "desc"}, {"post_id": "desc"}],
            "_source": ["post_id", "user_id", "published_at"],
        }
        if before is not None:
            query["search_after"] = [before.published_at, before.post_id]
        with _translated():
            answer = await self._client.search(index=ALIAS, body=query)
        sources = (hit["_source"] for hit in answer["hits"]["hits"])
        return [FeedEntry(of["published_at"], of["post_id"], of["user_id"]) for of in sources]

    async def close(self) -> None:
        """Close the connections; twice is once."""
        client, self._opened = self._opened, None
        if client is not None:
            await client.close()

    async def _write(self, post_id: str, document: Mapping[str, object], version: int) -> None:
        with _translated():
            await self._client.index(
                index=ALIAS,
                id=checked_id(post_id, "ph_"),
                body=document,
                version=checked_version(version),
                version_type="external",
                require_alias=True,
                ignore=_CONFLICT,  # this version or a newer one is there
            )

    @property
    def _client(self) -> AsyncOpenSearch:
        """The client, made inside the running loop that it belongs to."""
        if self._opened is None:
            self._opened = AsyncOpenSearch(hosts=[self._url], timeout=_TIMEOUT_S, max_retries=0)
        return self._opened


@contextmanager
def _translated() -> Iterator[None]:
    """Raise the project's errors for the client's."""
    try:
        yield
    except Unconnected as error:  # a timeout is one of these
        raise StoreAway(f"search: {type(error).__name__}") from error
    except RequestError as error:
        raise Unrecoverable(Reason.INVALID_EVENT, f"search: {str(error)[:200]}") from error
    except TransportError as error:
        away = error.status_code == _UNAVAILABLE
        raise (StoreAway if away else Transient)(f"search: {str(error)[:200]}") from error

"""What the stores hold of one post and one viewer, for `domain.feed_explain`."""

import asyncio
from dataclasses import dataclass, replace
from typing import Protocol

from api.resilience.breakers import Breakers
from domain.entities import Cursor, Edge, FeedEntry, Photo, PhotoStatus
from domain.feed_explain import Facts, belongs
from domain.feed_view import Sights, Source, View
from domain.ports.feeds import FeedPage, Shelf, Timelines
from domain.ports.graph import Follows


class FactStores(Protocol):
    """The ports that are asked."""

    @property
    def follows(self) -> Follows:
        """The graph."""

    @property
    def timelines(self) -> Timelines:
        """The feed sets."""

    @property
    def pulls(self) -> Timelines:
        """The celebrities' own newest posts."""

    @property
    def shelf(self) -> Shelf:
        """What a page shows, the filter included."""


@dataclass(frozen=True, slots=True)
class _Caches:
    """What the caches say: the view, whether readers get the post's bytes (b"": gone), built at."""

    view: View
    ready: bytes | None
    built_at: int


async def facts_of(stores: FactStores, viewer_id: str, post: Photo, breakers: Breakers) -> Facts:
    """As of now, from a few places each. Raises StoreAway, Transient: without one nothing is known.

    No guess is made from the others: what isn't cached looks the same as what can't be read.
    """
    edge = await breakers["postgres"].run(stores.follows.edge, viewer_id, post.user_id)
    known = Facts(viewer_id, post, edge, sight=None)
    if post.published_at is None:
        return known
    entry = FeedEntry(post.published_at, post.photo_id, post.user_id)
    caches = await breakers["redis"].run(_caches, stores, viewer_id, entry, edge)
    sights = Sights(caches.view)
    if belongs(viewer_id, post, edge):
        return replace(known, sight=sights.of(entry), built_at=caches.built_at)
    live = post.status is PhotoStatus.PUBLISHED
    sent = bool(caches.ready) or (live and caches.ready is None)
    passes = entry.author_id in caches.view.passing
    shown = entry in sights.shown() or (live and sights.is_below(entry))
    return replace(known, stranger=shown and passes and sent, built_at=caches.built_at)


async def _caches(
    stores: FactStores, viewer_id: str, entry: FeedEntry, edge: Edge | None
) -> _Caches:
    above = Cursor(entry.published_at, entry.post_id + "~")
    page, shelf = await asyncio.gather(
        stores.timelines.page(viewer_id, above, 1), stores.shelf.read([entry], viewer_id)
    )
    if shelf.follows is None:
        follows = edge is not None and edge.following
    else:
        follows = entry.author_id in shelf.follows
    ready = shelf.posts[0].post
    passing = frozenset({entry.author_id} if follows else ())
    gone = frozenset({entry.post_id} if ready == b"" else ())
    if page is None:
        return _Caches(View(None, {}, passing, gone), ready, 0)
    marked = list(page.celebrities)
    lists = await stores.pulls.pages(marked, above, 1) if marked else []
    view = View(_source(page), dict(zip(marked, map(_source, lists), strict=True)), passing, gone)
    return _Caches(view, ready, page.built_at)


def _source(page: FeedPage | None) -> Source | None:
    return None if page is None else Source(frozenset(page.entries), page.floor)

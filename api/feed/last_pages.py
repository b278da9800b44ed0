"""Each viewer's last good first page, kept in the process for when the stores are away.

Nothing is copied: the posts' bytes of an answer are held a minute longer. The oldest go first when
there are too many. A kept page never shows what its viewer has unfollowed since (unfollowing
forgets the page) nor a deleted post, as far as this process was told; what other
processes changed it may show until its minute is over.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from api.feed.follow_changes import FOLLOWS_TOLD_S, Recently
from api.feed.page import Page
from api.wire import PAGE
from domain.entities import Cursor
from domain.settings import Degradation

_PER_POST = 64  # bytes beside a post's own: its object, its place in the list
_PER_PAGE = 400
DELETED_TOLD_S = 2 * 3600.0
"""Longer than a post's ready bytes may live (`Feed.post_ttl_s`), a replica's included."""


@dataclass(frozen=True, slots=True)
class _Kept:
    page: Page
    at: float
    size: int


class _Seen(msgspec.Struct):
    """What a post's JSON is asked for."""

    post_id: str
    created_at: datetime


class LastPages:
    """At most `kept_pages_bytes` of first pages, none older than `kept_page_s`."""

    def __init__(self, settings: Degradation, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = settings.kept_pages_bytes
        self._life_s = settings.kept_page_s
        self._clock = clock
        self._pages: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0
        self._unfollowed = Recently(FOLLOWS_TOLD_S)
        self._deleted = Recently(DELETED_TOLD_S)

    def keep(self, viewer_id: str, page: Page, since: float) -> None:
        """Keep a complete first page that was begun to be read at `since` (this clock).

        Somebody who glanced at less than a usual page still has the longer one while that lives.
        """
        at = self._unfollowed.when(viewer_id)
        if at is not None and at >= since:
            return  # it may have been read before the viewer unfollowed somebody
        before = self._pages.pop(viewer_id, None)
        if before is not None:
            if len(page.posts) < PAGE and self._is_less(page, since, before):
                self._pages[viewer_id] = before
                return
            self._bytes -= before.size
        size = sum(map(len, page.posts)) + _PER_POST * len(page.posts) + _PER_PAGE
        self._pages[viewer_id] = _Kept(page, since, size)
        self._bytes += size
        while self._bytes > self._most:
            _, oldest = self._pages.popitem(last=False)
            self._bytes -= oldest.size

    def _is_less(self, page: Page, since: float, before: _Kept) -> bool:
        """Whether the page before shows more of the feed, and may still be shown."""
        goes_on = page.after is not None
        longer = len(before.page.posts) > len(page.posts)
        return goes_on and longer and since - before.at <= self._life_s

    def get(self, viewer_id: str, limit: int) -> Page | None:
        """The viewer's page as it may be shown now, at most `limit` posts; None without one."""
        kept = self._pages.get(viewer_id)
        if kept is None or self._clock() - kept.at > self._life_s:
            return None
        page = self.without_deleted(kept.page)
        if len(page.posts) <= limit:
            return page
        after = _place(_seen(page.posts[limit - 1]))
        return replace(page, posts=page.posts[:limit], after=after)

    def without_deleted(self, page: Page) -> Page:
        """The page without the posts that were deleted lately; it goes on where it did."""
        live = [each for each in page.posts if self._deleted.when(_seen(each).post_id) is None]
        return replace(page, posts=live)

    def may_be_outdated(self, viewer_id: str) -> bool:
        """Whether a copy of the cache may still have whom the viewer unfollowed."""
        at = self._unfollowed.when(viewer_id)
        return at is not None and self._clock() - at <= FOLLOWS_TOLD_S

    def unfollowed(self, viewer_id: str) -> None:
        """Forget the page, and one that is being read now."""
        self._unfollowed.note(viewer_id, self._clock())
        self.forget(viewer_id)

    def post_deleted(self, post_id: str) -> None:
        """Show it no more."""
        self._deleted.note(post_id, self._clock())

    def forget(self, viewer_id: str) -> None:
        """Drop a page."""
        if dropped := self._pages.pop(viewer_id, None):
            self._bytes -= dropped.size


def _seen(post: bytes) -> _Seen:
    return msgspec.json.decode(post, type=_Seen)


def _place(seen: _Seen) -> Cursor:
    return Cursor(round(seen.created_at.timestamp() * 1000), seen.post_id)

"""Entries of feeds, and how they get into one and out of it again."""

from domain.entities import FeedEntry
from domain.ids import spell
from domain.ports.feeds import Timelines
from domain.settings import Feed

FEED = Feed(cap=20, trim_slack=5)
AUTHORS = [f"u_{spell(number)}" for number in range(3)]


def entry(at: int, number: int = 0, author: int = 0) -> FeedEntry:
    return FeedEntry(1_800_000_000_000 + at, f"ph_{spell(number)}", AUTHORS[author])


def entries(count: int, start: int = 0, author: int = 0) -> list[FeedEntry]:
    """`count` entries a millisecond apart, newest first."""
    return [entry(at, at, author) for at in reversed(range(start, start + count))]


async def build(timelines: Timelines, user: str, content: list[FeedEntry]) -> None:
    assert await timelines.finish_build(user, await timelines.begin_build(user), content)


async def read(timelines: Timelines, user: str, limit: int = 100) -> list[FeedEntry]:
    page = await timelines.page(user, None, limit)
    assert page is not None
    return page.entries

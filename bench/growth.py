"""How costs grow: a chart each for followers, follows, celebrities, depth and page number.

`python bench/growth.py`: the application runs in this process over the real stores, so that its
processor time is this process's own; one call at a time, the median of some. Charts go to
`bench/results/growth_*.svg`, and `docs/benchmarks.md` shows them.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import uvloop

from api.app import create_app
from bench.tools import stack
from bench.tools.plot import line_chart
from bench.tools.readers import audience
from bench.tools.report import RESULTS, Figure, publish
from bench.tools.world import World
from domain.entities import FeedEntry
from domain.secrets import Secrets
from domain.settings import Settings
from stores.connect import Stores

FOLLOWERS = (1, 10, 100, 1_000, 5_000)
FOLLOWS = (10, 100, 1_000, 5_000)
CELEBRITIES = (0, 1, 5, 20, 50)
DEPTHS = (20, 200, 1_000, 3_000)
PAGES = (1, 10, 50, 100, 149, 155, 200)
"""Of twenty posts; the set in Redis holds 3,000, so that page 151 is the durable stores'."""
_CALLS, _TRIES, _AUTHORS = 60, 200, 10
Point = tuple[float, float, float]
"""How many, wall milliseconds, processor milliseconds."""


@dataclass(slots=True)
class Bench:
    """The application, and how to ask it."""

    world: World
    chosen: Settings
    http: httpx.AsyncClient

    async def reader(self, followees: list[str]) -> str:
        """A new viewer's token; the feed is built."""
        one = await audience(self.world, self.chosen, "reader", [followees])
        for _ in range(_TRIES):
            if (await self.page(one.tokens[0], None))["completeness"] == "complete":
                return one.tokens[0]
            await asyncio.sleep(0.1)
        raise RuntimeError("the feed wasn't built in time")

    async def page(self, token: str, cursor: str | None) -> dict[str, Any]:
        """One page. Raises httpx.HTTPStatusError."""
        query = {"cursor": cursor} if cursor else {}
        head = {"Authorization": f"Bearer {token}"}
        answer = await self.http.get("/feed", params=query, headers=head)
        page: dict[str, Any] = answer.raise_for_status().json()
        return page

    async def cost(self, token: str, cursor: str | None = None) -> tuple[float, float]:
        """(wall, processor) milliseconds of a page."""
        return await median_of(lambda: self.page(token, cursor), _CALLS)


async def median_of(work: Callable[[], Awaitable[object]], times: int) -> tuple[float, float]:
    """(wall, processor) milliseconds: the median and the mean of so many."""
    walls, cpu = [], time.process_time()
    for _ in range(times):
        began = time.perf_counter()
        await work()
        walls.append((time.perf_counter() - began) * 1000)
    return statistics.median(walls), (time.process_time() - cpu) * 1000 / times


async def by_followers(bench: Bench) -> list[Point]:
    """A delivery to so many feeds, the adapter's push."""
    timelines, found = bench.world.stores.timelines, []
    people = await bench.world.people(max(FOLLOWERS) + 1)
    author, fans = people[0], people[1:]
    await bench.world.build({fan: [] for fan in fans})
    for count in FOLLOWERS:

        async def push(count: int = count) -> None:
            at = time.time_ns() // 1_000_000
            entry = FeedEntry(at, f"ph_{bench.world.new_id(at)}", author)
            for start in range(0, count, 1000):
                await timelines.push(entry, fans[start : min(count, start + 1000)])

        await push()
        found.append((float(count), *await median_of(push, 10)))
    return found


async def by_follows(bench: Bench, authors: list[str]) -> list[Point]:
    """The first page of somebody who follows so many; the same posts each time."""
    crowd = await bench.world.people(max(FOLLOWS))
    found = []
    for count in FOLLOWS:
        token = await bench.reader([*authors, *crowd[: count - len(authors)]])
        found.append((float(count), *await bench.cost(token)))
    return found


async def by_celebrities(bench: Bench, authors: list[str]) -> list[Point]:
    """The first page of somebody who follows so many whose posts are pulled."""
    famous = await bench.world.people(max(CELEBRITIES))
    posts = await bench.world.post(dict.fromkeys(famous, 40), likes=0)
    await bench.world.pull(list({post.user_id: post for post in posts}.values()))
    found = []
    for count in CELEBRITIES:
        token = await bench.reader([*authors, *famous[:count]])
        found.append((float(count), *await bench.cost(token)))
    return found


async def by_depth(bench: Bench) -> list[Point]:
    """The first page of a feed with so many posts."""
    found = []
    for depth in DEPTHS:
        authors = await bench.world.people(_AUTHORS)
        await bench.world.post(dict.fromkeys(authors, depth // _AUTHORS), likes=0)
        found.append((float(depth), *await bench.cost(await bench.reader(authors))))
    return found


async def by_page(bench: Bench) -> tuple[list[Point], int, int]:
    """Pages of one feed of 4,200 posts, by number; and what the walk to them missed or doubled."""
    authors = await bench.world.people(_AUTHORS)
    posts = await bench.world.post(dict.fromkeys(authors, 420), likes=0)
    token = await bench.reader(authors)
    cursors: dict[int, str | None] = {1: None}
    seen: list[str] = []
    for number in range(1, max(PAGES) + 1):
        page = await bench.page(token, cursors[number])
        seen += [post["post_id"] for post in page["posts"]]
        cursors[number + 1] = page["next_cursor"]
    due = [post.photo_id for post in reversed(posts)][: len(seen)]
    missing = len(set(due) - set(seen))
    wrong = len(set(seen) - set(due)) + len(seen) - len(set(seen))
    found = [
        (float(number), *await median_of(partial(bench.page, token, cursors[number]), 15))
        for number in PAGES
    ]
    return found, missing, wrong


def draw(name: str, title: str, across: str, points: list[Point], *, log_x: bool = True) -> None:
    """One chart: wall and processor time."""
    series = {
        "wall": [(x, wall) for x, wall, _ in points],
        "processor": [(x, cpu) for x, _, cpu in points],
    }
    line_chart(RESULTS / f"growth_{name}.svg", title, (across, "ms"), series, log_x=log_x)


def growth(points: list[Point]) -> str:
    """The last wall time against the first, and what grew meanwhile."""
    first, last = points[0], points[-1]
    return f"{first[0]:g} → {last[0]:g}: {first[1]:.2f} → {last[1]:.2f} ms"


async def measure(chosen: Settings) -> bool:
    """All charts, over a running stack."""
    world = World.of_stack()
    stores = Stores(chosen, Secrets.load(chosen.run_dir))
    transport = httpx.ASGITransport(create_app(chosen, stores.secrets, stores))
    async with httpx.AsyncClient(transport=transport, base_url="http://bench") as http:
        bench = Bench(world, chosen, http)
        authors = await world.people(_AUTHORS)
        await world.post(dict.fromkeys(authors, 60), likes=0)
        pages, missing, wrong = await by_page(bench)
        charts: Mapping[str, list[Point]] = {
            "followers": await by_followers(bench),
            "follows": await by_follows(bench, authors),
            "celebrities": await by_celebrities(bench, authors),
            "depth": await by_depth(bench),
            "page": pages,
        }
    await stores.close()
    await world.stores.close()
    draw("followers", "Delivering one post", "followers", charts["followers"])
    draw("follows", "The first page", "people followed", charts["follows"])
    draw(
        "celebrities", "The first page", "celebrities followed", charts["celebrities"], log_x=False
    )
    draw("depth", "The first page", "posts in the feed", charts["depth"])
    draw("page", "A page of a feed of 4,200", "page number", charts["page"], log_x=False)
    rows = [Figure(f"by {name}", growth(points)) for name, points in charts.items()]
    rows += [
        Figure("posts missing on the walk", missing, "", ("==", 0)),
        Figure("posts doubled or foreign on the walk", wrong, "", ("==", 0)),
    ]
    return publish("growth", "how costs grow (wall time)", rows, points=charts)


def main() -> bool:
    """Start what is needed, measure, stop it; whether every bar holds."""
    with stack.running(whole=False) as chosen:
        return uvloop.run(measure(chosen))


if __name__ == "__main__":
    sys.exit(0 if main() else 1)

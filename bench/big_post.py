"""How soon is a post in the last of 10,000 feeds, and does it hold up anybody else's?

`python bench/big_post.py [rounds]`: the whole stack, two writers of feeds. A photo goes the whole
way: upload, complete, decoder, publishing, planner, chunks, Redis. Time runs from the answer to
complete until the post is in the last feed of its author's followers. In each round another author
with 100 followers posts three times: alone; beside somebody with as few followers (both photos
share the decoders); and beside the author with 10,000.
"""

import asyncio
import io
import statistics
import sys
import time
from dataclasses import dataclass, field

import httpx
import numpy as np
import uvloop
from PIL import Image

from api.auth import TokenBook
from bench.tools import stack
from bench.tools.cache import Wire
from bench.tools.report import Figure, paired, publish
from bench.tools.world import World
from domain.secrets import Secrets
from domain.settings import Settings

ROUNDS, BIG, SMALL = 5, 10_000, 100
_LIMIT_S, _POLL_S, _AT_ONCE = 20.0, 0.004, 64
BUDGET_S = 60.0
LAST_FEED_LIMIT_S, DELAY_LIMIT = 1.5, 1.2


@dataclass(slots=True)
class Author:
    """Somebody who posts, and the keys of their followers' feeds."""

    user_id: str
    token: str
    feeds: list[str]
    posts: list[str] = field(default_factory=list)


def picture(seed: int) -> bytes:
    """A JPEG of 1600 by 1200 that nobody has uploaded before."""
    chance = np.random.default_rng([seed, time.time_ns()])
    coarse = Image.fromarray(chance.integers(0, 255, (30, 40, 3), np.uint8))
    out = io.BytesIO()
    coarse.resize((1600, 1200), Image.Resampling.BICUBIC).save(out, "JPEG", quality=88)
    return out.getvalue()


async def author(world: World, chosen: Settings, followers: int) -> Author:
    """A new author whose followers all have a built feed."""
    [user_id, *those] = await world.people(followers + 1)
    await world.follow([(one, user_id) for one in those])
    gate = asyncio.Semaphore(_AT_ONCE)
    timelines = world.stores.timelines

    async def build(one: str) -> None:
        async with gate:
            await timelines.finish_build(one, await timelines.begin_build(one), [])

    await asyncio.gather(*map(build, those))
    book = TokenBook(chosen.tokens, Secrets.load(chosen.run_dir).jwt_key)
    token = book.issue(user_id, world.new_id(), world.now)
    return Author(user_id, token, [f"feed:{one}" for one in those])


async def upload(http: httpx.AsyncClient, who: Author, data: bytes) -> str:
    """Everything before complete; the photo's id."""
    words = {"filename": "a.jpg", "content_type": "image/jpeg", "size_bytes": len(data)}
    head = {"Authorization": f"Bearer {who.token}"}
    grant = (await http.post("/photos", json=words, headers=head)).raise_for_status().json()
    put = await http.put(grant["upload_url"], content=data, headers=grant["upload_headers"])
    put.raise_for_status()
    return str(grant["photo_id"])


async def last_feed(http: httpx.AsyncClient, who: Author, photo_id: str, wire: Wire) -> float:
    """Complete, then wait for the last feed; seconds in between. Raises TimeoutError."""
    head = {"Authorization": f"Bearer {who.token}"}
    (await http.post(f"/photos/{photo_id}/complete", headers=head)).raise_for_status()
    began = time.perf_counter()
    left = who.feeds
    async with asyncio.timeout(_LIMIT_S):
        while left:
            asked = left if len(left) < len(who.feeds) else left[:1]
            held = set(await asyncio.to_thread(holding, wire, asked, photo_id))
            left = [feed for feed in left if feed not in held]
            await asyncio.sleep(_POLL_S)
    who.posts.append(photo_id)
    return time.perf_counter() - began


def holding(wire: Wire, feeds: list[str], photo_id: str) -> list[str]:
    """Those of the feeds whose newest entries have the post."""
    name = photo_id.removeprefix("ph_").encode()
    rows = wire.pipeline(
        [("ZREVRANGEBYSCORE", f, "(+inf", "-inf", "LIMIT", "0", "4") for f in feeds]
    )
    pairs = zip(feeds, rows, strict=True)
    return [f for f, row in pairs if isinstance(row, list) and any(name in each for each in row)]


def wrong(authors: list[Author], wire: Wire) -> tuple[int, int]:
    """(missing, ghosts) of all posts over everybody's feeds."""
    missing = ghosts = 0
    for who in authors:
        for post in who.posts:
            for other in authors:
                rows = wire.pipeline([("ZRANGE", feed, "0", "-1") for feed in other.feeds])
                name = post.removeprefix("ph_").encode()
                held = sum(
                    isinstance(row, list) and any(each.startswith(name) for each in row)
                    for row in rows
                )
                missing += len(other.feeds) - held if other is who else 0
                ghosts += held if other is not who else 0
    return missing, ghosts


async def measure(chosen: Settings, rounds: int) -> bool:
    """All of it, over a running stack."""
    world = World.of_stack()
    big, small, third = [await author(world, chosen, n) for n in (BIG, SMALL, SMALL)]
    times: dict[str, list[float]] = {name: [] for name in ("big", "alone", "beside few", "beside")}
    wires = [Wire(chosen.port("redis")) for _ in range(2)]
    async with httpx.AsyncClient(base_url=chosen.url("api"), timeout=30.0) as http:
        deadline = time.monotonic() + BUDGET_S
        for number in range(rounds + 1):
            if number > 1 and time.monotonic() > deadline:
                break
            kept = number > 0  # the first round only warms up
            for name, company in (("alone", None), ("beside few", third), ("beside", big)):
                own = await upload(http, small, picture(number))
                if company is None:
                    took = await last_feed(http, small, own, wires[0])
                else:
                    theirs = await upload(http, company, picture(number))
                    took, other = await asyncio.gather(
                        last_feed(http, small, own, wires[0]),
                        last_feed(http, company, theirs, wires[1]),
                    )
                    del other
                if kept:
                    times[name].append(took)
                await asyncio.sleep(0.5)
            lone = await upload(http, big, picture(number))
            took = await last_feed(http, big, lone, wires[1])
            if kept:
                times["big"].append(took)
        missing, ghosts = wrong([big, small, third], wires[0])
    await world.stores.close()
    rows = figures(times, missing, ghosts)
    return publish("big_post", "a post with 10,000 followers", rows, seconds=times)


def figures(times: dict[str, list[float]], missing: int, ghosts: int) -> list[Figure]:
    """The table."""
    shared = paired(times["beside few"], times["alone"])
    told = f"beside somebody with {SMALL} followers: {shared:.2f} times"
    return [
        Figure(
            "complete → last of 10,000 feeds",
            statistics.median(times["big"]),
            "s",
            ("<=", LAST_FEED_LIMIT_S),
        ),
        Figure("another author's post, alone", statistics.median(times["alone"]), "s"),
        Figure("another author's post, beside it", statistics.median(times["beside"]), "s"),
        Figure(
            "beside / alone",
            paired(times["beside"], times["alone"]),
            "times",
            ("<=", DELAY_LIMIT),
            told,
        ),
        Figure(
            "beside 10,000 / beside 100",
            paired(times["beside"], times["beside few"]),
            "times",
            ("<=", DELAY_LIMIT),
            "what the many followers cost others",
        ),
        Figure("missing", missing, "", ("==", 0)),
        Figure("ghosts", ghosts, "", ("==", 0)),
    ]


def main(rounds: int = ROUNDS) -> bool:
    """Start what is needed, measure, stop it; whether every bar holds."""
    with stack.running(whole=True) as chosen:
        return uvloop.run(measure(chosen, rounds))


if __name__ == "__main__":
    sys.exit(0 if main(*map(int, sys.argv[1:])) else 1)

"""After FLUSHALL: how fast do the feeds come back, and what do readers get meanwhile?

`python bench/rebuild.py [people]`: so many readers with built feeds; then Redis is emptied and
`photofeed feed rebuild` runs for them at a rate, while readers keep asking for their first page,
each in turn. Every answer must be 200; one that says `complete` must be the feed. The reads that
the rebuild sends to Cassandra must stay within what the rate allows: one for each author that a
feed follows.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import uvloop
from redis.asyncio import Redis

from bench.tools import stack
from bench.tools.readers import Audience, audience, expect
from bench.tools.report import Figure, publish, quantile
from bench.tools.world import World
from domain.settings import ROOT, Settings

PEOPLE, AUTHORS, POSTS_EACH, FOLLOWS = 400, 40, 20, 10
RATE = 20.0
"""Feeds a second: low enough for the limit to be what is measured."""
_LIMIT_S = 60.0
_PAUSE_S = 0.01


@dataclass(slots=True)
class Seen:
    """What readers were answered while it ran."""

    words: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    failed: int = 0
    false: int = 0


async def read_on(base: str, found: Audience, seen: Seen, stop: asyncio.Event) -> None:
    """One reader after the other, until told to stop."""
    async with httpx.AsyncClient(base_url=base, timeout=30.0) as http:
        while not stop.is_set():
            for token, due in zip(found.tokens, found.due, strict=True):
                if stop.is_set():
                    return
                began = time.perf_counter()
                head = {"Authorization": f"Bearer {token}"}
                answer = await http.get("/feed", headers=head)
                seen.latencies_ms.append((time.perf_counter() - began) * 1000)
                if answer.is_error:
                    seen.failed += 1
                    continue
                page = answer.json()
                seen.words[page["completeness"]] += 1
                ids = [post["post_id"] for post in page["posts"]]
                seen.false += page["completeness"] == "complete" and ids != due
                await asyncio.sleep(_PAUSE_S)


async def rebuild(readers: Sequence[str], rate: float) -> dict[str, float]:
    """The verb, as an operator runs it, for this run's readers; its own report."""
    command = [sys.executable, "-m", "ops", "feed", "rebuild"]
    command += [part for reader in readers for part in ("--user", reader)]
    process = await asyncio.create_subprocess_exec(
        *command,
        "--rate",
        str(rate),
        "--json",
        cwd=ROOT,
        env=dict(stack.environment()),
        stdout=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_LIMIT_S):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    told: dict[str, float] = json.loads(out)
    return told


async def prepare(world: World, chosen: Settings, people: int) -> Audience:
    """Readers, and their feeds built by reading them."""
    authors = await world.people(AUTHORS)
    posts = await world.post(dict.fromkeys(authors, POSTS_EACH), likes=0)
    followees = [[authors[(n + k) % AUTHORS] for k in range(FOLLOWS)] for n in range(people)]
    found = await audience(world, chosen, "readers", followees)
    expect(found, posts, followees)
    return found


def figures(told: dict[str, float], seen: Seen, wrong: Sequence[int], bound: float) -> list[Figure]:
    """The table."""
    seconds = float(told["seconds"]) or 1.0
    answers = seen.words.total() + seen.failed
    p99 = quantile(seen.latencies_ms, 0.99)
    return [
        Figure("feeds rebuilt", told["feeds"]),
        Figure("feeds a second", told["feeds"] / seconds, "1/s", ("<=", RATE * 1.1), "by --rate"),
        Figure("reads of Cassandra a second", told["cassandra_reads"] / seconds, "1/s"),
        Figure("reads of Cassandra a feed", told["cassandra_reads"] / told["feeds"], "", bar=None),
        Figure(
            "reads a second / what the rate allows",
            told["cassandra_reads"] / seconds / bound,
            "times",
            ("<=", 1.1),
        ),
        Figure("reads answered meanwhile", answers, note=str(dict(seen.words))),
        Figure("reads that failed", seen.failed, "", ("==", 0)),
        Figure("p99 of the reads", p99, "ms"),
        Figure("complete pages that weren't the feed", seen.false, "", ("==", 0)),
        Figure("missing afterwards", wrong[0], "", ("==", 0)),
        Figure("ghosts afterwards", wrong[1], "", ("==", 0)),
    ]


async def measure(chosen: Settings, people: int) -> bool:
    """All of it, over a running stack and API."""
    world = World.of_stack()
    async with Redis(port=chosen.port("redis")) as redis:
        await redis.flushall()
        found = await prepare(world, chosen, people)
        base = chosen.url("api")
        await found.wrong(base)  # reads them all: built now
        await redis.flushall()
    seen, stop = Seen(), asyncio.Event()
    reading = asyncio.create_task(read_on(base, found, seen, stop))
    try:
        told = await rebuild(found.viewers, RATE)
    finally:
        stop.set()
        await reading
    wrong = await found.wrong(base)
    await world.stores.close()
    rows = figures(told, seen, wrong, RATE * FOLLOWS)
    return publish("rebuild", "rebuild after FLUSHALL", rows, rate=RATE, told=told)


def main(people: int = PEOPLE) -> bool:
    """Start what is needed, measure, stop it; whether every bar holds."""
    with stack.running(whole=False) as chosen, stack.api(chosen):
        return uvloop.run(measure(chosen, people))


if __name__ == "__main__":
    sys.exit(0 if main(*map(int, sys.argv[1:])) else 1)

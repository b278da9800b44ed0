"""How many feeds does one writer write in a second, and does every one get its post?

`python bench/fan_out.py [people] [rounds]`: a power-law graph of 10,000 people, one of them with
5,000 followers; everybody's feed is at its cap of 3,000 (sizes spread evenly over the slack, so
that trims come as often as they do for ever after). A post of the most followed and some of
others, each split into its chunks, are delivered by

* the handler of fanout.chunk over the real adapter, from the event's bytes to Redis's last answer;
* the floor: the same followers in the same batches as hand-packed ZADDs on a plain connection, into
  the same keys, with neither existence check nor trim;
* the seed's pseudocode on redis-py, alone and with hiredis; stream-framework's own manager; and
  the command sequences of Mastodon, Pixelfed and Misskey (`bench/peers/feed_stores.py`).

They take turns in every round; ratios are medians of the rounds' own. After each turn the feeds are
read back: missing is a follower without the post, a ghost is somebody else with it, and a false
feed is one that a push made for somebody who had none: a reader would take it for whole.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers.contenders import contenders
from bench.peers.feeds import Contender
from bench.peers.ours import FEED, Ours
from bench.tools.cache import Cache, valkey
from bench.tools.graph import PowerLaw, power_law
from bench.tools.report import Figure, paired, publish
from domain.ids import spell
from domain.settings import Ports, Settings

PORT_OFFSET = 7600
PEOPLE, MOST, ROUNDS, COLD_EACH = 10_000, 5_000, 5, 100
RANKS = (1, 5, 10, 30, 100, 300, 1000)
"""Whose posts are delivered in a round: the most followed author and some of the tail."""
BUDGET_S, LEAST_ROUNDS = 75.0, 2
"""No further round is begun then: a busy machine gets fewer rounds, not a longer run."""
T0 = 1_800_000_000_000
AHEAD = (">=", 1.0)
BARS = {
    "raw ZADD": (">=", 0.5),
    "seed on redis-py": (">=", 4.0),
    "stream-framework": (">=", 4.0),
    "Mastodon": AHEAD,
    "Pixelfed": AHEAD,
    "Misskey on redis-py": AHEAD,
}
"""Where the floor itself is behind (a list's LPUSH on a plain connection), there is no bar."""


@dataclass(slots=True)
class Tally:
    """What one contender did, a number a round."""

    rate: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    server_us: list[float] = field(default_factory=list)
    missing: int = 0
    ghosts: int = 0
    false_feeds: int = 0


def posts(graph: PowerLaw, start: int) -> list[tuple[str, str, int]]:
    """(author, post id, published at) of one turn, new ones each time."""
    authors = [graph.people[rank - 1] for rank in RANKS if rank <= len(graph.people)]
    return [(a, f"ph_{spell((start + n) << 22)}", T0 + start + n) for n, a in enumerate(authors)]


async def turn(one: Contender, graph: PowerLaw, cache: Cache, start: int, tally: Tally) -> None:
    """Deliver a turn's posts as often as the contender's speed asks for, then look at the feeds."""
    wall = cpu = server = 0.0
    deliveries = 0
    for again in range(one.repeats):
        made = posts(graph, start + again * len(RANKS))
        work = one.prepared(made)
        server_before, began = cache.cpu_s(), time.perf_counter()
        cpu_before = time.process_time()
        spent = await work()
        wall += time.perf_counter() - began
        cpu += spent if spent is not None else time.process_time() - cpu_before
        server += cache.cpu_s() - server_before
        deliveries += sum(len(one.reachable(author)) for author, *_ in made)
        missing, ghosts, false_feeds = one.wrong(made)
        tally.missing += missing
        tally.ghosts += ghosts
        tally.false_feeds += false_feeds
        one.tidy(made)
    tally.rate.append(deliveries / wall)
    tally.cpu_us.append(cpu / deliveries * 1e6)
    tally.server_us.append(server / deliveries * 1e6)


def settings(folder: Path) -> Settings:
    """Settings whose Redis is the benchmark's own."""
    return Settings(run_dir=folder, port_offset=PORT_OFFSET, ports=Ports())


def starts() -> Iterator[int]:
    """Numbers of posts, far apart."""
    yield from range(1_000_000, 1_000_000_000, 1_000)


async def measure(people: int, rounds: int) -> tuple[dict[str, Tally], dict[str, object]]:
    """Build the feeds, let the contenders take turns; tallies by name, and what can't be run."""
    graph = power_law(people, MOST * people // PEOPLE)
    cold = set(graph.people[::COLD_EACH])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="photofeed-bench-")))
        chosen = settings(folder)
        cache = stack.enter_context(valkey(chosen.port("redis")))
        began = time.monotonic()
        field_of = await contenders(chosen, graph, cold)
        built_s = time.monotonic() - began
        tallies = {one.name: Tally() for one in field_of.runners}
        numbers = starts()
        deadline = time.monotonic() + BUDGET_S
        for round_number in range(rounds + 1):  # the first one only warms up
            if round_number > LEAST_ROUNDS and time.monotonic() > deadline:
                break
            for one in field_of.runners:
                tally = tallies[one.name] if round_number else Tally()
                await turn(one, graph, cache, next(numbers), tally)
        await field_of.close()
    return tallies, {"built_s": round(built_s, 1), "not_run": field_of.not_run}


def figures(tallies: dict[str, Tally]) -> list[Figure]:
    """The table: ours, then the others with ours / theirs."""
    ours = tallies[Ours.name]
    rows = [
        Figure("photofeed, deliveries a second", statistics.median(ours.rate), "1/s"),
        Figure("photofeed, worker's CPU a delivery", statistics.median(ours.cpu_us), "µs"),
        Figure("photofeed, Redis's CPU a delivery", statistics.median(ours.server_us), "µs"),
        Figure("photofeed, missing", ours.missing, "", ("==", 0)),
        Figure("photofeed, ghosts", ours.ghosts, "", ("==", 0)),
        Figure("photofeed, false feeds", ours.false_feeds, "", ("==", 0)),
    ]
    for name, tally in tallies.items():
        if name == Ours.name:
            continue
        wrong = f"missing {tally.missing}, ghosts {tally.ghosts}, false feeds {tally.false_feeds}"
        cost = f"{statistics.median(tally.cpu_us):.1f} + {statistics.median(tally.server_us):.1f}"
        told = f"{statistics.median(tally.rate):,.0f}/s, {cost} µs CPU; {wrong}"
        bar = BARS.get(name)
        rows.append(Figure(f"ours / {name}", paired(ours.rate, tally.rate), "times", bar, told))
    return rows


def main(people: int = PEOPLE, rounds: int = ROUNDS) -> bool:
    """Measure, print the table, write the results; whether every bar holds."""
    tallies, more = asyncio.run(measure(people, rounds))
    rows = figures(tallies)
    not_run = more["not_run"]
    if isinstance(not_run, dict):
        rows += [Figure(f"ours / {name}", "not run", note=why) for name, why in not_run.items()]
    spread = {name: {"rate": t.rate, "cpu_us": t.cpu_us} for name, t in tallies.items()}
    shape = {"people": people, "most_followers": MOST * people // PEOPLE, "cap": FEED.cap}
    return publish(
        "fan_out", "fan-out: one writer, feeds at their cap", rows, rounds=spread, **shape, **more
    )


if __name__ == "__main__":
    sys.exit(0 if main(*map(int, sys.argv[1:])) else 1)

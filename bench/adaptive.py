"""The adaptive threshold under real load: writers fall behind, it falls, they recover, it rises.

`python bench/adaptive.py [seconds a post may take]`: the servers, a real planner and two real
writers of feeds with the threshold switched on. What the writers send to Redis passes a gate. Small
authors and big ones keep posting at one rate. The gate is wide at first; then it lets only so many
bytes a second pass that the writers need a sixth more time than they have; when the threshold has
fallen below the big authors' followers, whose posts are pulled from then on, and the lag is
gone, it is wide again. The controller's pace follows what a post may take (30 s by default), so
twelve seconds show in one minute and a half what thirty show in four.

How late a post was is what its readers saw: two followers of everybody, the first and the last in
the writers' order, keep reading their feeds. The audit's verdict stands beside it.
"""

import asyncio
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from api.feed.reader import FeedReader
from bench.tools import stack
from bench.tools.gate import Gate
from bench.tools.plot import line_chart
from bench.tools.report import RESULTS, Figure, publish
from bench.tools.world import World
from domain.entities import Delivery, FeedEntry, Photo
from domain.post_json import rfc3339
from domain.settings import Settings
from domain.threshold import RISE, ROOM
from ops.lag import Observer
from ops.servers.program import RunDir
from streams.steering import REPORTS_A_STEP
from topics.catalog import FANOUT_CHUNK

FRESHNESS_S = 12.0
CEILING, LOWEST = 1_000, 750
SMALL, BIG = 200, 800
AUTHORS = 2  # of each kind: who is pulled first costs the writers a mark in each feed
OLDER = 20
"""Entries of each feed before: what is pushed to the smallest sets takes another way."""
BEAT_S = 0.5  # a small author's post in each beat, a big one's in every other
SLOW_SHARE = 0.85
"""Of the feeds that come due, what the narrow gate lets pass."""
_LOOK_S, _WARM_S, _SETTLE_S = 0.25, 8.0, 60.0
_PAGE_S = 4  # entries of a watcher's page for each second that a post may take; three are posted
_PLANNER, _WRITERS = "worker-plan_fan_out-0", ("worker-write_feeds-0", "worker-write_feeds-1")
_NONE = math.nan  # it misses every bar
_GATE_PORT = 16_479  # before the offset


@dataclass(slots=True)
class Track:
    """What was seen on the way; seconds are since the first post."""

    began: float = field(default_factory=time.monotonic)
    path: list[tuple[float, int]] = field(default_factory=list)
    lags: list[tuple[float, float]] = field(default_factory=list)
    posts: dict[str, Photo] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    worst_s: float = 0.0
    took_s: float = 0.0

    @property
    def now(self) -> float:
        """Seconds since the first post."""
        return time.monotonic() - self.began


@dataclass(slots=True)
class Crowd:
    """Who posts, and who reads everything."""

    small: list[str]
    big: list[str]
    watchers: list[str]

    @classmethod
    async def made(cls, world: World) -> "Crowd":
        """New people with built feeds: ids ascend, so the watchers are first and last."""
        first = await world.people(1)
        authors = await world.people(2 * AUTHORS)
        small, big = authors[:AUTHORS], authors[AUTHORS:]
        sizes = dict.fromkeys(small, SMALL - 2) | dict.fromkeys(big, BIG - 2)
        pairs = [(fan, a) for a in authors for fan in await world.people(sizes[a])]
        watchers = first + await world.people(1)
        await world.follow(pairs + [(watcher, a) for watcher in watchers for a in authors])
        older = {author: _older(world, author) for author in authors}
        await world.build({fan: older[author] for fan, author in pairs})
        await world.build({watcher: [] for watcher in watchers})
        return cls(small, big, watchers)


def _older(world: World, author: str) -> list[FeedEntry]:
    """Entries from long before this run, the newest first; nobody reads so far."""
    times = [world.now - 86_400_000 - number for number in range(OLDER)]
    return [FeedEntry(at, f"ph_{world.new_id(at)}", author) for at in times]


class Show:
    """One run."""

    def __init__(self, world: World, crowd: Crowd, gate: Gate, freshness_s: float) -> None:
        self.world = world
        self.crowd = crowd
        self.gate = gate
        self.freshness_s = freshness_s
        self.track = Track()
        self.missed = ""
        """What wasn't reached in its time; what would have come after it was left out."""
        self.reader = FeedReader(world.stores, "", world.stores.settings.feed)

    async def perform(self) -> dict[str, float]:
        """All phases; what command and metric said of the threshold while it was low."""
        said: dict[str, float] = {}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in (self._post(), self._look())]
            readers = [group.create_task(self._watch(each)) for each in self.crowd.watchers]
            with suppress(TimeoutError):
                await self._fall(said)
                await self._rise()
            self.gate.bytes_per_s = float("inf")
            tasks[0].cancel()
            with suppress(TimeoutError):
                await self._reach("all posts seen", self._all_seen, self.freshness_s)
            for each in (*tasks, *readers):
                each.cancel()
        self.track.took_s = self.track.now
        await self.reader.close()
        return said

    async def _fall(self, said: dict[str, float]) -> None:
        """The writers fall behind until the threshold has fallen and they keep up. TimeoutError."""
        track, steps_s = self.track, self.freshness_s
        await self._reach("a threshold", lambda: bool(track.path), 2 * steps_s)
        before, began = self.gate.passed, track.now
        await asyncio.sleep(_WARM_S)
        usual = (self.gate.passed - before) / (track.now - began)
        self.gate.bytes_per_s = SLOW_SHARE * usual
        await self._reach("the threshold falls", lambda: track.path[-1][1] < BIG, 8 * steps_s)
        keep_up = ROOM * steps_s
        await self._reach("the lag goes", lambda: track.lags[-1][1] <= keep_up, 4 * steps_s)
        said |= await asyncio.to_thread(self._said)

    async def _rise(self) -> None:
        """The writers have room until the threshold is up again. Raises TimeoutError."""
        track, steps_s = self.track, self.freshness_s
        self.gate.bytes_per_s = float("inf")
        await self._reach("the threshold rises", lambda: track.path[-1][1] > BIG, 10 * steps_s)
        await asyncio.sleep(steps_s)

    async def _post(self) -> None:
        """Keep posting, at one rate."""
        beat = 0
        while True:
            authors = [self.crowd.small[beat % AUTHORS]]
            if beat % 2:
                authors.append(self.crowd.big[beat // 2 % AUTHORS])
            for post in await asyncio.gather(*map(self.world.publish, authors)):
                self.track.posts[post.photo_id] = post
            beat += 1
            await asyncio.sleep(self.track.began + beat * BEAT_S - time.monotonic())

    async def _look(self) -> None:
        """Note where the threshold is, and the worst lag that was reported."""
        postgres = self.world.stores.postgres
        while True:
            followers = await self.world.stores.push_limit.followers()
            [(lag_s,)] = await postgres.tuples("SELECT coalesce(max(lag_s), 0) FROM writer_loads")
            self.track.lags.append((self.track.now, float(lag_s)))
            if followers:
                self.track.path.append((self.track.now, followers))
            await asyncio.sleep(_LOOK_S)

    async def _watch(self, viewer: str) -> None:
        """Read a feed again and again, and note how old posts are when they appear."""
        known: set[str] = set()
        size = round(_PAGE_S * self.freshness_s)
        while True:
            page = await self.reader.home(viewer, None, size)
            now = time.time()
            fresh = {json.loads(post)["post_id"] for post in page.posts} - known
            for post in (self.track.posts[each] for each in fresh if each in self.track.posts):
                known.add(post.photo_id)
                self.track.seen[post.photo_id] += 1
                self.track.worst_s = max(self.track.worst_s, now - (post.published_at or 0) / 1000)
            await asyncio.sleep(_LOOK_S)

    def _all_seen(self) -> bool:
        return all(self.track.seen[post] == len(self.crowd.watchers) for post in self.track.posts)

    async def _reach(self, phase: str, true: Callable[[], bool], limit_s: float) -> None:
        """Wait until it is so. Raises TimeoutError; the first phase that was missed is noted."""
        try:
            async with asyncio.timeout(limit_s):
                while not true():  # noqa: ASYNC110 - what is waited for is in other processes
                    await asyncio.sleep(_LOOK_S / 2)
        except TimeoutError:
            self.missed = self.missed or phase
            raise

    def _said(self) -> dict[str, float]:
        words = ("celebrity", "threshold", "--json")
        command = json.loads(stack.photofeed(*words, limit_s=30, given=given(self.freshness_s)))
        return {"command": command["threshold"], "metric": _gauge(self.world.stores.settings)}


def _gauge(chosen: Settings) -> float:
    """What the planner's metric says."""
    registry = CollectorRegistry()
    folder = str(RunDir(chosen.run_dir).metrics)
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call] # theirs
    return registry.get_sample_value("photofeed_push_threshold_followers") or 0.0


def given(freshness_s: float) -> dict[str, str]:
    """The settings of planner, writers and commands."""
    return {
        "PHOTOFEED_FEED__ADAPTIVE_THRESHOLD": "true",
        "PHOTOFEED_FEED__ADAPTIVE_MIN": str(LOWEST),
        "PHOTOFEED_FEED__CELEBRITY_THRESHOLD": str(CEILING),
        "PHOTOFEED_FEED__FRESHNESS_S": str(freshness_s),
    }


async def measure(chosen: Settings, freshness_s: float) -> bool:
    """All of it, over the running servers and workers."""
    world, gate = World.of_stack(), Gate(chosen.port("redis"))
    async with gate.listening(_GATE_PORT + chosen.port_offset):
        crowd = await Crowd.made(world)
        await settled(chosen)  # what a broken run left
        await asyncio.sleep(freshness_s / REPORTS_A_STEP)
        await world.stores.postgres.run("DELETE FROM push_limit", ())
        since, show = time.time(), Show(world, crowd, gate, freshness_s)
        said = await show.perform()
        try:
            await settled(chosen)
        except TimeoutError:
            show.missed = show.missed or "every chunk is written"
    kinds = await deliveries(show)
    words = ("feed", "audit", "--since", rfc3339(round(since * 1000)), "--json")
    audit = json.loads(await asyncio.to_thread(stack.photofeed, *words, limit_s=120))
    await world.stores.close()
    moves = told(chosen, since)
    draw(show.track)
    rows = figures(show, kinds, said, moves, audit)
    title = f"adaptive threshold under load, {freshness_s:g} s a post"
    return publish("adaptive", title, rows, moves=moves, said=said, audit=audit)


async def settled(chosen: Settings) -> None:
    """Every chunk is written. Raises TimeoutError."""
    observer = Observer(chosen)
    places = [(FANOUT_CHUNK.name, part) for part in range(FANOUT_CHUNK.partitions)]
    async with asyncio.timeout(_SETTLE_S):
        while True:
            found = await asyncio.to_thread(observer.partitions, "write_feeds", places)
            if not any(part.lag_messages for part in found.values()):
                return
            await asyncio.sleep(_LOOK_S)


async def deliveries(show: Show) -> list[str]:
    """How each of the big authors' posts was delivered, the oldest first."""
    rows = await show.world.stores.photos.get_many(list(show.track.posts))
    posts = sorted(rows.values(), key=lambda row: row.published_at or 0)
    return [str(p.fan_out.delivery) for p in posts if p.fan_out and p.user_id in show.crowd.big]


def told(chosen: Settings, since: float) -> list[dict[str, Any]]:
    """What the writers' logs say of moves, in order of time."""
    logs = [RunDir(chosen.run_dir).log(name).read_text() for name in _WRITERS]
    lines = [line for log in logs for line in log.splitlines() if '"threshold.moved"' in line]
    began = rfc3339(round(since * 1000))
    fresh = [each for each in map(json.loads, lines) if each["timestamp"] >= began]
    return sorted(fresh, key=lambda each: str(each["timestamp"]))


def figures(
    show: Show,
    kinds: list[str],
    said: dict[str, float],
    moves: list[dict[str, Any]],
    audit: dict[str, Any],
) -> list[Figure]:
    """The table."""
    track, path = show.track, [followers for _, followers in show.track.path]
    steps = [pair for pair in pairwise(path) if pair[0] != pair[1]]
    turns = sum((a < b) != (c < d) for (a, b), (c, d) in pairwise(steps))
    rises = [b / a for a, b in steps if b > a]
    pushed = str(Delivery.PUSH)
    told_low = [said.get(name, _NONE) for name in ("command", "metric")]
    unlike = sum(value not in path or value >= CEILING for value in told_low)
    logged = [(move["was"], move["followers"]) for move in moves]
    return [
        Figure("phases not reached", int(bool(show.missed)), "", ("==", 0), show.missed),
        Figure(
            "threshold, lowest",
            min(path, default=_NONE),
            "followers",
            ("<", BIG),
            f"big authors: {BIG}",
        ),
        Figure("threshold at the end", max(path[-1:], default=_NONE), "followers", (">=", BIG)),
        Figure("changes of direction", turns, "", ("==", 1), "down, then up"),
        Figure(
            "largest step up",
            max(rises, default=_NONE),
            "times",
            ("<=", round(RISE + 1 / LOWEST, 3)),
        ),
        Figure("steps that the log doesn't tell", len(set(steps) - set(logged)), "", ("==", 0)),
        Figure("command and metric that say otherwise", unlike, "", ("==", 0), str(said)),
        Figure("big posts pulled", sum(kind != pushed for kind in kinds), "", (">=", 1)),
        Figure(
            "first and last big post pushed", (kinds[:1] + kinds[-1:]).count(pushed), "", ("==", 2)
        ),
        Figure("worst lag of a writer", max((lag for _, lag in track.lags), default=0.0), "s"),
        Figure("oldest post when readers saw it", track.worst_s, "s", ("<=", show.freshness_s)),
        Figure("posts", len(track.posts)),
        Figure("lost", audit["lost"], "", ("==", 0)),
        Figure("ghosts, duplicates", audit["ghosts"] + audit["duplicates"], "", ("==", 0)),
        Figure("from the first post until all are seen", track.took_s, "s"),
    ]


def draw(track: Track) -> None:
    """Threshold and lag over time, if there was a threshold."""
    if not track.path:
        return
    line_chart(
        RESULTS / "adaptive.svg",
        "The adaptive threshold under load",
        ("seconds", "100 followers; s"),
        {
            "threshold": [
                (round(at), n / 100) for at, n in track.path[:: len(track.path) // 16 or 1]
            ],
            "worst lag": track.lags,
        },
        log_x=False,
    )


def main(freshness_s: float = FRESHNESS_S) -> bool:
    """Start what is needed, measure, stop it; whether every bar holds."""
    own = given(freshness_s)
    through = own | {"PHOTOFEED_PORTS__REDIS": str(_GATE_PORT)}
    wanted = {_PLANNER: own} | dict.fromkeys(_WRITERS, through)
    with stack.running(whole=False) as chosen, stack.workers(chosen, wanted):
        return uvloop.run(measure(chosen, freshness_s))


if __name__ == "__main__":
    sys.exit(0 if main(*map(float, sys.argv[1:])) else 1)

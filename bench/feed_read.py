"""What does a warm feed page cost, and how long does it take under load?

`python bench/feed_read.py [rounds]`: the API as it is deployed (one process of `python -m api`)
over the real PostgreSQL, Cassandra and Valkey, beside two handlers of `bench/peers/readers.py`
under uvicorn: a bare ASGI function that answers with one MGET of twenty ready posts, and FastAPI
with twenty HGETALLs; the bare one under our own server too. Readers are of three kinds: 10 follows,
5,000 follows (with the same posts), and 10 follows with 50 celebrities whose posts are pulled. The
first read once more while somebody likes what they are shown, 100 times a second: then what the
process keeps of Redis changes all the time. Steps are told with nothing kept, too.

Processor time is what the kernel counted for the process; servers take turns in every round and
ratios are medians of the rounds' own. Saturation is the highest rate with p99 < 200 ms, found by
halving; latencies are taken at half of it, from when a call was due.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle, islice

import httpx
import uvloop
from redis.asyncio import Redis

from api.app import create_app
from bench.peers import readers as peers
from bench.tools import stack
from bench.tools.cache import process_cpu_s
from bench.tools.load import Check, closed_loop, open_loop
from bench.tools.readers import Audience, audience, expect, full, request, whole
from bench.tools.report import Figure, paired, publish, quantile
from bench.tools.spans import Spans, call
from bench.tools.world import World
from domain.entities import Counts
from domain.secrets import Secrets
from domain.settings import ROOT, Settings
from stores.connect import Stores

ROUNDS, CALLS = 5, 6000
AUTHORS, POSTS_EACH, CELEBRITIES, CROWD = 50, 60, 50, 4_990
FEW, MANY, PULLING = "10 follows", "5,000 follows", "50 celebrities"
LIKED, NOTHING_KEPT = "10 follows, 100 likes a second", "10 follows, nothing kept"
LIKES_A_SECOND = 100
BARE, CORKED, HASHES = "bare ASGI, one MGET", "bare ASGI, our server", "FastAPI, 20 HGETALL"
PEERS = {BARE: "bare", CORKED: "corked", HASHES: "hashes"}
P99_LIMIT_MS, STEP_S, TURN_S, HALVINGS = 200.0, 2.0, 2.0, 6
LEAST_RATE = 20.0
PEER_PORTS = 601
"""How far the peers' ports lie from the API's: nothing of the stack is there."""
BUDGET_S = 100.0
"""No further round is begun then: a busy machine gets fewer rounds, not a longer run."""
_READY_S = 20.0
_BUSY = 16  # connections: with few a server waits for each call, and pays for waking up


@dataclass(slots=True)
class Server:
    """Something that answers, and whom it answers."""

    name: str
    port: int
    pid: int
    requests: list[bytes]
    check: Check
    cpu_us: list[float] = field(default_factory=list)
    latencies_ms: list[list[float]] = field(default_factory=list)
    wrong: int = 0

    async def cost(self) -> None:
        """One round of calls as fast as answered: processor time a call."""
        before = process_cpu_s(self.pid)
        outcome = await closed_loop(self.port, self.requests, CALLS, self.check, _BUSY)
        self.cpu_us.append((process_cpu_s(self.pid) - before) / CALLS * 1e6)
        self.wrong += outcome.wrong

    async def at(self, rate: float) -> None:
        """One round of calls at a rate."""
        outcome = await open_loop(self.port, self.requests, rate, TURN_S, self.check)
        self.latencies_ms.append(outcome.latencies_ms)
        self.wrong += outcome.wrong

    def p(self, share: float) -> list[float]:
        """A quantile of each round."""
        return [quantile(each, share) for each in self.latencies_ms]


async def people(world: World, chosen: Settings) -> list[Audience]:
    """The three kinds of readers with the same posts, and what they must see."""
    authors = await world.people(AUTHORS)
    famous = await world.people(CELEBRITIES)
    crowd = await world.people(CROWD)
    posts = await world.post(dict.fromkeys([*authors, *famous], POSTS_EACH), likes=0)
    await world.like(posts[-60:], crowd[:5])
    newest = {post.user_id: post for post in posts}
    await world.pull([newest[name] for name in famous])
    ten = [authors[n : n + 10] for n in range(0, AUTHORS, 10)]
    kinds = {
        FEW: [those for those in ten for _ in range(4)],
        MANY: [[*those, *crowd] for those in islice(ten, 3)],
        PULLING: [[*those, *famous] for those in ten],
    }
    found = []
    for name, followees in kinds.items():
        one = await audience(world, chosen, name, followees)
        expect(one, posts, followees)
        found.append(one)
    return found


async def like(world: World, found: Audience) -> None:
    """Like what these are shown and take it back, as the stage does, until cancelled."""
    shown = sorted({post for due in found.due for post in due})
    fan, reactions = f"u_{world.new_id()}", world.stores.reaction_cache
    for number, post in enumerate(cycle(shown)):
        liked = number // len(shown) % 2 == 0
        likers = await reactions.put_like(post, fan, liked=liked)
        if likers is not None:
            await reactions.put_counts(post, Counts(likers))
        await asyncio.sleep(1 / LIKES_A_SECOND)


@contextmanager
def peer(kind: str, port: int, redis_port: int) -> Iterator[int]:
    """A peer's process; its pid once it answers. Raises RuntimeError when it doesn't."""
    command = [sys.executable, "-m", "bench.peers.readers", kind, str(port), str(redis_port)]
    process = subprocess.Popen(command, cwd=ROOT)  # noqa: S603 - our own module
    try:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            try:
                httpx.get(f"http://127.0.0.1:{port}/feed", timeout=2.0)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        else:
            raise RuntimeError(f"{kind} isn't ready")
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


async def warm(base: str, found: Sequence[Audience], redis_port: int) -> None:
    """Everybody reads until their page is whole; then the peers get the same twenty posts."""
    async with httpx.AsyncClient(base_url=base, timeout=60.0) as http:
        page = {}
        for token in [token for one in found for token in one.tokens]:
            head = {"Authorization": f"Bearer {token}"}
            for _ in range(100):
                page = (await http.get("/feed", headers=head)).raise_for_status().json()
                if page["completeness"] == "complete":
                    break
                await asyncio.sleep(0.1)
    async with Redis(port=redis_port) as redis:
        await peers.fill(redis, page["posts"])


def within(rounds: int, deadline: float) -> Iterator[int]:
    """Rounds until a moment; one at least."""
    for number in range(rounds):
        if number and time.monotonic() > deadline:
            return
        yield number


async def saturation(server: Server) -> float:
    """The highest rate with p99 under the limit, calls a second."""
    low, high = 0.0, 1.3e6 / statistics.median(server.cpu_us)
    for _ in range(HALVINGS):
        rate = (low + high) / 2
        outcome = await open_loop(server.port, server.requests, rate, STEP_S, server.check)
        good = quantile(outcome.latencies_ms, 0.99) < P99_LIMIT_MS and not outcome.wrong
        low, high = (rate, high) if good else (low, rate)
        await asyncio.sleep(0.3)
    return max(low, LEAST_RATE)


async def steps(chosen: Settings, found: Sequence[Audience]) -> dict[str, dict[str, float]]:
    """Microseconds a call by step, one reader at a time, with the application in this process."""
    secrets = Secrets.load(chosen.run_dir)
    told: dict[str, dict[str, float]] = {}
    for one in found:
        stores, spans = Stores(chosen, secrets), Spans()
        spans.watch(stores)
        app = create_app(chosen, secrets, stores)
        for _ in range(20):
            await call(app, "/feed", one.tokens[0])
        spans.clear()
        began = time.perf_counter()
        for turn in range(300):
            await call(app, "/feed", one.tokens[turn % len(one.tokens)])
        whole_us = (time.perf_counter() - began) / 300 * 1e6
        told[one.name] = {"whole": round(whole_us, 1)} | {
            f"{name} ({spans.calls[name] / 300:.2f} a call)": round(seconds / 300 * 1e6, 1)
            for name, seconds in sorted(spans.seconds.items(), key=lambda item: -item[1])
        }
        await stores.close()
    return told


def figures(
    servers: dict[str, Server], rate: float, wrong: dict[str, tuple[int, int]]
) -> list[Figure]:
    """The table."""
    ours, bare, hashes = servers[FEW], servers[BARE], servers[HASHES]
    rows = [
        Figure(f"CPU a request, {one.name}", statistics.median(one.cpu_us), "µs")
        for one in servers.values()
    ]
    timed = {name: one for name, one in servers.items() if one.latencies_ms}
    p99 = {name: statistics.median(one.p(0.99)) for name, one in timed.items()}
    p50 = {name: statistics.median(one.p(0.5)) for name, one in timed.items()}
    corked = paired(ours.cpu_us, servers[CORKED].cpu_us)
    rows += [
        Figure("CPU, ours / bare", paired(ours.cpu_us, bare.cpu_us), "times", ("<=", 1.6)),
        Figure("CPU, ours / bare under our server", corked, "times"),
        Figure("CPU, FastAPI / ours", paired(hashes.cpu_us, ours.cpu_us), "times", (">=", 4.0)),
        Figure("saturation (p99 < 200 ms)", 2 * rate, "1/s", note="latencies at half of it"),
        *(Figure(f"p99, {n}", v, "ms", note=f"p50 {p50[n]:.2f} ms") for n, v in p99.items()),
        Figure("p99, ours", p99[FEW], "ms", ("<", P99_LIMIT_MS)),
    ]
    for name, base, limit in ((FEW, bare, 3.0), (PULLING, ours, 2.0), (MANY, ours, 1.2)):
        one = servers[name]
        medians = f"p50 {paired(one.p(0.5), base.p(0.5)):.2f} times"
        ratio = paired(one.p(0.99), base.p(0.99))
        rows.append(Figure(f"p99, {name} / {base.name}", ratio, "times", ("<=", limit), medians))
    for name, (missing, ghosts) in wrong.items():
        rows.append(Figure(f"{name}: missing, ghosts", missing + ghosts, "", ("==", 0)))
    bad = sum(one.wrong for one in servers.values())
    return [*rows, Figure("answers that were not whole", bad, "", ("==", 0))]


async def measure(chosen: Settings, pid: int, rounds: int) -> bool:
    """All of it, over a running stack and API."""
    world = World.of_stack()
    base, redis_port = chosen.url("api"), chosen.port("redis")
    with ExitStack() as opened:
        found = await people(world, chosen)
        await warm(base, found, redis_port)
        servers = {
            one.name: Server(one.name, chosen.port("api"), pid, one.requests, whole())
            for one in found
        }
        plain = [request("/feed", "none")]
        for port, (name, kind) in enumerate(PEERS.items(), chosen.port("api") + PEER_PORTS):
            peer_pid = opened.enter_context(peer(kind, port, redis_port))
            servers[name] = Server(name, port, peer_pid, plain, full)
        liked = replace(servers[FEW], name=LIKED, cpu_us=[], latencies_ms=[])
        deadline = time.monotonic() + BUDGET_S
        for _ in within(rounds, deadline - BUDGET_S / 2):
            for server in servers.values():
                await server.cost()
            async with asyncio.TaskGroup() as group:
                liking = group.create_task(like(world, found[0]))
                await liked.cost()
                liking.cancel()
        rate = await saturation(servers[FEW]) / 2
        for _ in within(rounds, deadline):
            for server in servers.values():
                if server.name not in {CORKED, HASHES}:
                    await server.at(rate)
        wrong = {one.name: await one.wrong(base) for one in found}
    told = await steps(chosen, found)
    nothing = chosen.feed.model_copy(update={"posts_kept": 0})
    unkept = await steps(chosen.model_copy(update={"feed": nothing}), found[:1])
    told[NOTHING_KEPT] = unkept[FEW]
    await world.stores.close()
    rows = figures({**servers, LIKED: liked}, rate, wrong)
    spread = {one.name: one.cpu_us for one in (*servers.values(), liked)}
    fine = publish("feed_read", "a warm feed page", rows, rounds_cpu_us=spread, steps_us=told)
    for name, parts in told.items():
        print(f"steps, {name}: " + ", ".join(f"{step} {us} µs" for step, us in parts.items()))
    return fine


def main(rounds: int = ROUNDS) -> bool:
    """Start what is needed, measure, stop it; whether every bar holds."""
    with stack.running(whole=False) as chosen, stack.api(chosen) as pid:
        return uvloop.run(measure(chosen, pid, rounds))


if __name__ == "__main__":
    sys.exit(0 if main(*map(int, sys.argv[1:])) else 1)

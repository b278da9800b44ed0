"""What does a profile grid cost? Its ids come from one partition of Cassandra, always.

`python bench/grid.py [calls]`: GET /users/{id}/feed of people with 40 posts each. The first call of
each person finds no post in Redis and reads twelve from Cassandra too; later ones take the posts
from Redis. Times are a single caller's; processor time is the kernel's count of the API's process.
The statements a grid needs are counted with the application in this process.
"""

import statistics
import sys
from collections import Counter
from typing import ClassVar

import httpx
import uvloop

from api.app import create_app
from bench.tools import stack
from bench.tools.cache import process_cpu_s
from bench.tools.load import closed_loop
from bench.tools.readers import audience, request, whole
from bench.tools.report import Figure, publish, quantile
from bench.tools.spans import call
from bench.tools.world import World
from domain.secrets import Secrets
from domain.settings import Settings
from stores.cassandra_session import CassandraSession, Row
from stores.connect import Stores

CALLS, PEOPLE, POSTS_EACH, SHOWN = 2000, 200, 40, 12
P50_LIMIT_MS = 10.0


class Counting(CassandraSession):
    """A session that notes the table of every statement."""

    tables: ClassVar[Counter[str]] = Counter()

    async def execute(self, query: str, params: object = ()) -> list[Row]:
        """Count, then execute."""
        self.tables[query.partition(" FROM ")[2].split()[0]] += 1
        return await super().execute(query, params)  # type: ignore[arg-type] # passed through


async def statements(chosen: Settings, path: str, token: str) -> Counter[str]:
    """Statements by table of one warm grid, the second of two calls."""
    stores = Stores(chosen, Secrets.load(chosen.run_dir))
    host, port = chosen.address("cassandra").rsplit(":", 1)
    session = Counting(host, int(port), "photofeed")
    stores.__dict__["cassandra"] = session
    app = create_app(chosen, stores.secrets, stores)
    await call(app, path, token)
    session.tables.clear()
    await call(app, path, token)
    counted = Counter(session.tables)
    await session.close()
    await stores.close()
    return counted


async def right(chosen: Settings, paths: dict[str, list[str]], token: str) -> int:
    """How many grids don't show exactly the newest posts of their person."""
    wrong = 0
    head = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=chosen.url("api"), headers=head, timeout=30.0) as http:
        for path, due in paths.items():
            page = (await http.get(path)).raise_for_status().json()
            wrong += [post["post_id"] for post in page["posts"]] != due
    return wrong


async def measure(chosen: Settings, pid: int, calls: int) -> bool:
    """All of it, over a running stack and API."""
    world = World.of_stack()
    people = await world.people(PEOPLE)
    posts = await world.post(dict.fromkeys(people, POSTS_EACH), likes=0)
    viewer = await audience(world, chosen, "viewer", [people[:1]])
    [token] = viewer.tokens
    paths = {
        f"/users/{person}/feed": [p.photo_id for p in reversed(posts) if p.user_id == person][
            :SHOWN
        ]
        for person in people
    }
    requests = [request(path, token) for path in paths]
    port, check = chosen.port("api"), whole(SHOWN)
    cold = await closed_loop(port, requests, PEOPLE, check, connections=1)
    before = process_cpu_s(pid)
    warm = await closed_loop(port, requests, calls, check, connections=1)
    cpu_us = (process_cpu_s(pid) - before) / calls * 1e6
    wrong = await right(chosen, paths, token)
    counted = await statements(chosen, next(iter(paths)), token)
    await world.stores.close()
    p99 = quantile(warm.latencies_ms, 0.99)
    rows = [
        Figure(
            "p50, ids from Cassandra, posts from Redis",
            statistics.median(warm.latencies_ms),
            "ms",
            ("<=", P50_LIMIT_MS),
            f"p99 {p99:.1f} ms",
        ),
        Figure(
            "p50, posts and counts from Cassandra too",
            statistics.median(cold.latencies_ms),
            "ms",
            note="each person's first read",
        ),
        Figure("CPU a request of the API", cpu_us, "µs"),
        Figure("statements to Cassandra, warm", counted.total(), "", ("==", 1), str(dict(counted))),
        Figure("grids that aren't the newest posts", wrong, "", ("==", 0)),
        Figure("answers that were not whole", cold.wrong + warm.wrong, "", ("==", 0)),
    ]
    return publish("grid", "the profile grid", rows, people=PEOPLE, posts_each=POSTS_EACH)


def main(calls: int = CALLS) -> bool:
    """Start what is needed, measure, stop it; whether every bar holds."""
    with stack.running(whole=False) as chosen, stack.api(chosen) as pid:
        return uvloop.run(measure(chosen, pid, calls))


if __name__ == "__main__":
    sys.exit(0 if main(*map(int, sys.argv[1:])) else 1)

"""What does an entry of a feed cost in Redis, by encoding?

`python bench/memory.py`: a feed at its cap of 3,000, built by the adapter, in a server as we start
it (a skiplist and a hash table beyond 128 members) and in one that keeps so many members in a
listpack. Bytes are the server's own count (MEMORY USAGE of every member), times are one ZADD into
such a feed, many in a pipeline, and one read of twenty-eight by score.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from pydantic import SecretStr

from bench.tools.cache import Wire, valkey
from bench.tools.report import Figure, publish
from domain.entities import FeedEntry
from domain.feed import member
from domain.ids import spell
from domain.secrets import Secrets
from domain.settings import Feed, Settings
from stores.connect import Stores

PORT_OFFSET, TURNS = 8300, 200
_T0 = 1_800_000_000_000
_ENTRIES = 3000
_COPIES = 50


def entry(number: int) -> FeedEntry:
    """The numberth post of a feed with a thousand authors."""
    author = f"u_{spell((number % 977 + 1) << 40)}"
    return FeedEntry(_T0 + number * 1000, f"ph_{spell((_T0 + number) << 20)}", author)


async def build(settings: Settings, user_id: str) -> None:
    """A feed at its cap, by the adapter."""
    nothing = SecretStr("")
    secrets = Secrets(jwt_key=nothing, s3_access_key=nothing, s3_secret_key=nothing)
    stores = Stores(settings, secrets)
    token = await stores.timelines.begin_build(user_id)
    entries = [entry(number) for number in range(_ENTRIES)]
    await stores.timelines.finish_build(user_id, token, entries[::-1])
    await stores.close()


def figures(folder: Path, name: str, *options: str) -> list[Figure]:
    """Bytes and microseconds in one server."""
    settings = Settings(run_dir=folder, port_offset=PORT_OFFSET)
    user_id = f"u_{spell(1)}"
    with valkey(settings.port("redis"), *options) as cache:
        asyncio.run(build(settings, user_id))
        wire, key = Wire(cache.port), f"feed:{user_id}"
        size = wire.call("MEMORY", "USAGE", key, "SAMPLES", "0")
        encoding = wire.call("OBJECT", "ENCODING", key)
        copies = [f"feed:copy{number}" for number in range(_COPIES)]
        wire.pipeline([("COPY", key, copy) for copy in copies])
        read = ("ZREVRANGEBYSCORE", "(+inf", "-inf", "WITHSCORES", "LIMIT", "0", "28")
        adds, reads = [], []
        for turn in range(TURNS):
            new = entry(_ENTRIES + turn)
            score = str(new.published_at)
            adds.append(timed(wire, [("ZADD", copy, score, member(new)) for copy in copies]))
            reads.append(timed(wire, [(read[0], copy, *read[1:]) for copy in copies]))
        wire.close()
    told = encoding.decode() if isinstance(encoding, bytes) else str(encoding)
    return [
        Figure(f"{name}, an entry", int(str(size)) / _ENTRIES, "bytes", note=told),
        Figure(f"{name}, ZADD", statistics.median(adds), "µs"),
        Figure(f"{name}, first page", statistics.median(reads), "µs"),
    ]


def timed(wire: Wire, commands: list[tuple[str | bytes, ...]]) -> float:
    """Microseconds a command."""
    began = time.perf_counter()
    wire.pipeline(commands)
    return (time.perf_counter() - began) / len(commands) * 1e6


def main() -> bool:
    """Measure both, print the table, write the results."""
    wide = str(Feed().cap + Feed().trim_slack + 100)
    with tempfile.TemporaryDirectory(prefix="photofeed-bench-") as folder:
        rows = figures(Path(folder), "skiplist")
        rows += figures(Path(folder), "listpack", "--zset-max-listpack-entries", wide)
    return publish("memory", "an entry of a feed at its cap of 3,000", rows)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)

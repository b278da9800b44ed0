"""How many reads of pictures the edge answers from its cache, and whether any answer is wrong.

A real nginx as `make up` configures it and the real shield, over stores in memory, all on loopback.
Readers replay a Zipf law over posts (exponent 1, the usual one for photographs' popularity), each
read one of a post's three pictures as a feed would ask for it: 80 % feed, 15 % thumbnail, 5 % full.
The cache is cold at the start, so every first read is a miss. Meanwhile
posts are deleted and purged, popular ones among them.

Wrong is: other bytes than the picture's, another status than 200 for a post that lives, or than 410
for one whose purge had ended before the read began. Writes bench/results/edge.json.
"""

import asyncio
import hashlib
import json
import random
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import uvicorn

from api.shield import create_shield
from domain.entities import Photo, PhotoStatus
from domain.ids import spell
from domain.media import image_urls, picture_paths
from domain.renditions import object_key
from domain.settings import Settings
from ops.servers import edge
from ops.servers.program import RunDir
from ops.servers.stack import is_ready
from schemas.events import VariantRef
from stores.http_edge import HttpEdge
from stores.memory.cassandra import MemoryPhotos
from stores.memory.s3 import MemoryObjects

RESULTS = Path(__file__).parent / "results" / "edge.json"
OFFSET = 6700
POSTS, READS, DELETIONS, READERS, SEED = 300, 12_000, 12, 4, 7
"""40 reads a post; the estimate for the whole system counts 200 feed reads an upload."""
LIMIT_S = 240.0
SHARES = {"thumbnail": 15, "feed": 80, "full": 5}
BYTES = {"thumbnail": 6_000, "feed": 40_000, "full": 100_000}
SHOWN = {"posts": POSTS, "reads": READS, "deletions": DELETIONS, "readers": READERS}


@dataclass
class Replay:
    """The reads as they come in, and what came of them."""

    settings: Settings
    photos: MemoryPhotos
    posts: list[Photo]
    data: dict[str, bytes]
    cache: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    purge_ms: list[float] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    purged: set[str] = field(default_factory=set)
    left: int = READS

    async def read_all(self) -> None:
        """All readers and the one who deletes, to the end."""
        async with httpx.AsyncClient(timeout=20.0) as http:
            await asyncio.gather(
                self._delete(), *(self._reader(http, number) for number in range(READERS))
            )

    async def _reader(self, http: httpx.AsyncClient, number: int) -> None:
        chance = random.Random(SEED * 1000 + number)  # noqa: S311 - a replay, not a secret
        weights = list(accumulate(1 / rank for rank in range(1, len(self.posts) + 1)))
        names, shares = list(SHARES), list(SHARES.values())
        ends_at = time.monotonic() + LIMIT_S
        while self.left > 0 and time.monotonic() < ends_at:
            self.left -= 1
            [post] = chance.choices(self.posts, cum_weights=weights)
            [name] = chance.choices(names, shares)
            await self._read(http, post, name)

    async def _read(self, http: httpx.AsyncClient, post: Photo, name: str) -> None:
        was_purged = post.photo_id in self.purged
        began = time.perf_counter()
        answer = await http.get(image_urls(self.settings.url("edge"), post)[name])
        self.latencies.append(time.perf_counter() - began)
        self.cache[answer.headers.get("x-cache", "NONE")] += 1
        if was_purged and answer.status_code != httpx.codes.GONE:
            self.wrong["served_after_purge"] += 1
        elif answer.status_code == httpx.codes.GONE and post.photo_id not in self.deleted:
            self.wrong["gone_while_live"] += 1
        elif answer.status_code not in {httpx.codes.OK, httpx.codes.GONE}:
            self.wrong[f"status_{answer.status_code}"] += 1
        elif answer.status_code == httpx.codes.OK:
            variant = next(each for each in post.variants if each.name == name)
            self.wrong["other_bytes"] += answer.content != self.data[variant.hash]

    async def _delete(self) -> None:
        """Delete posts evenly over the replay, the most popular ones first."""
        cache = HttpEdge(self.settings.url("edge"), self.settings.url("edge_refresh"))
        victims = self.posts[:: max(1, len(self.posts) // DELETIONS)][:DELETIONS]
        ends_at = time.monotonic() + LIMIT_S
        for number, post in enumerate(victims):
            while self.left > READS - (number + 1) * READS // (DELETIONS + 1):
                if self.left <= 0 or time.monotonic() > ends_at:
                    return
                await asyncio.sleep(0.01)
            self.deleted.add(post.photo_id)
            began = time.perf_counter()
            await self.photos.delete(post.photo_id)
            hashes = {each.hash for each in post.variants}
            await cache.purge(picture_paths(post.photo_id, hashes))
            self.purge_ms.append((time.perf_counter() - began) * 1000)
            self.purged.add(post.photo_id)
        await cache.close()


def made(number: int, chance: random.Random, data: dict[str, bytes]) -> Photo:
    """A published post with pictures of its own."""
    user_id = f"u_{spell(number)}"
    variants = []
    for name, size in BYTES.items():
        content = chance.randbytes(size)
        content_hash = hashlib.sha256(content).hexdigest()[:32]
        data[content_hash] = content
        variants.append(VariantRef(name, content_hash, 640, 480, size))
    return Photo(
        photo_id=f"ph_{spell(number)}",
        user_id=user_id,
        status=PhotoStatus.PUBLISHED,
        filename="a.jpg",
        content_type="image/jpeg",
        size_bytes=1,
        object_key="k",
        variants=tuple(variants),
        published_at=1,
        version=2,
    )


async def measure(folder: Path) -> Replay:
    """Start nginx and the shield, replay, stop both."""
    settings = Settings(run_dir=folder, port_offset=OFFSET)
    chance = random.Random(SEED)  # noqa: S311 - test data
    data: dict[str, bytes] = {}
    photos, objects = MemoryPhotos(), MemoryObjects()
    posts = [made(number, chance, data) for number in range(POSTS)]
    for post in posts:
        await photos.add(post)
        for each in post.variants:
            key = object_key(post.user_id, each.hash)
            await objects.put(settings.uploads.media_bucket, key, data[each.hash], "image/jpeg")
    stores: Any = SimpleNamespace(photos=photos, objects=objects)
    app = create_shield(settings, stores)
    config = uvicorn.Config(app, port=settings.port("shield"), access_log=False, log_level="error")
    shield = uvicorn.Server(config)
    serving = asyncio.create_task(shield.serve())
    program = edge.program(settings, RunDir(folder))
    program.prepare()
    nginx = subprocess.Popen(program.command, cwd=program.cwd)  # noqa: S603, ASYNC220 - the edge's own command
    try:
        async with asyncio.timeout(20):
            while not (shield.started and await asyncio.to_thread(is_ready, program)):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        replay = Replay(settings, photos, posts, data)
        async with asyncio.timeout(2 * LIMIT_S):
            await replay.read_all()
    finally:
        nginx.terminate()
        nginx.wait(10)
        shield.should_exit = True
        await serving
    return replay


def report(replay: Replay, seconds: float) -> dict[str, object]:
    """What was measured."""
    reads = replay.cache.total()
    cuts = statistics.quantiles(replay.latencies, n=100)
    return {
        **SHOWN,
        "zipf_exponent": 1.0,
        "reads_done": reads,
        "hit_ratio": round(replay.cache["HIT"] / reads, 4),
        "x_cache": dict(replay.cache),
        "wrong_answers": sum(replay.wrong.values()),
        "wrong": {name: count for name, count in replay.wrong.items() if count},
        "read_ms": {"p50": round(cuts[49] * 1000, 2), "p99": round(cuts[98] * 1000, 2)},
        "purge_ms": {
            "p50": round(statistics.median(replay.purge_ms), 1),
            "max": round(max(replay.purge_ms), 1),
        },
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Measure, print, write."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="photofeed-edge-") as folder:
        Path(folder).chmod(0o755)
        replay = asyncio.run(measure(Path(folder)))
    document = report(replay, time.monotonic() - began)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    print(f"edge: HIT ratio {document['hit_ratio']} over {document['reads_done']} reads")
    print(f"edge: wrong answers {document['wrong_answers']} {document['wrong']}")
    print(f"edge: reads {document['read_ms']} ms, deletion to 410 {document['purge_ms']} ms")


if __name__ == "__main__":
    main()

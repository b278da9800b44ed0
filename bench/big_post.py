"""How soon is a post in the last of 10,000 feeds, and does it hold up anybody else's?

`python bench/big_post.py [rounds]`: the whole stack, two writers of feeds. A photo goes the whole
way: upload, complete, decoder, publishing, planner, chunks, Redis. Time runs from the answer to
complete until the post is in the last feed of its author's followers. In each round another author
with 100 followers posts alone, and while the post of the author with 10,000 is on its way: at a
moment that moves on from round to round, from its complete to its last feed. Two more turns tell
what it is that slows: both complete at the same moment, and the same beside somebody with as few
followers, so that only the decoders are shared.
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
from domain.settings import Feed, Settings

ROUNDS, BIG, SMALL = 9, 10_000, 100
_LIMIT_S, _POLL_S = 20.0, 0.004
_SELDOM_S = 0.1
"""For the post in whose company another is timed: looking must not cost what is measured."""
BUDGET_S = 75.0
LAST_FEED_LIMIT_S, DELAY_LIMIT = 1.5, 1.2
TURNS = ("big", "alone", "meanwhile", "at once", "at once, few")
_PAUSE_S = 0.4
_CHUNK = Feed().chunk_followers
_GOLDEN = 0.618  # its multiples spread evenly over the way, however many rounds there are


@dataclass(slots=True)
class Author:
    """Somebody who posts, and the keys of their followers' feeds."""

    user_id: str
    token: str
    feeds: list[str]
    """In the order in which they are written."""
    posts: list[str] = field(default_factory=list)

    @property
    def ends(self) -> list[str]:
        """The last feed of each chunk: a chunk is one batch, written in this order."""
        return [*self.feeds[_CHUNK - 1 :: _CHUNK], self.feeds[-1]]


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
    await world.build({one: [] for one in those})
    book = TokenBook(chosen.tokens, Secrets.load(chosen.run_dir).jwt_key)
    token = book.issue(user_id, world.new_id(), world.now)
    return Author(user_id, token, [f"feed:{one}" for one in sorted(those)])


async def upload(http: httpx.AsyncClient, who: Author, data: bytes) -> str:
    """Everything before complete; the photo's id."""
    words = {"filename": "a.jpg", "content_type": "image/jpeg", "size_bytes": len(data)}
    head = {"Authorization": f"Bearer {who.token}"}
    grant = (await http.post("/photos", json=words, headers=head)).raise_for_status().json()
    put = await http.put(grant["upload_url"], content=data, headers=grant["upload_headers"])
    put.raise_for_status()
    return str(grant["photo_id"])


async def last_feed(
    http: httpx.AsyncClient, who: Author, photo_id: str, wire: Wire, poll_s: float = _POLL_S
) -> float:
    """Complete, then wait for the last feed of every chunk; seconds in between.

    Looking at ten thousand feeds again and again would cost the machine more than writing them;
    at the end `wrong` looks at them all. Raises TimeoutError.
    """
    head = {"Authorization": f"Bearer {who.token}"}
    (await http.post(f"/photos/{photo_id}/complete", headers=head)).raise_for_status()
    began = time.perf_counter()
    left = who.ends
    async with asyncio.timeout(_LIMIT_S):
        while left:
            held = set(await asyncio.to_thread(holding, wire, left, photo_id))
            left = [feed for feed in left if feed not in held]
            await asyncio.sleep(poll_s)
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


class Track:
    """The authors, their photos' ways, and the time each took."""

    def __init__(self, http: httpx.AsyncClient, port: int, authors: list[Author]) -> None:
        self.http = http
        self.big, self.small, self.third = authors
        self.wires = [Wire(port) for _ in range(2)]
        self.times: dict[str, list[float]] = {name: [] for name in TURNS}

    async def alone(self, who: Author, seed: int) -> float:
        """Seconds of one photo by itself."""
        photo = await upload(self.http, who, picture(seed))
        return await last_feed(self.http, who, photo, self.wires[0])

    async def beside(self, company: Author, seed: int, after_s: float) -> float:
        """Seconds of the small author's photo that is complete so long after another's."""
        own = await upload(self.http, self.small, picture(seed))
        theirs = await upload(self.http, company, picture(seed))

        async def late() -> float:
            await asyncio.sleep(after_s)
            return await last_feed(self.http, self.small, own, self.wires[0])

        first = last_feed(self.http, company, theirs, self.wires[1], _SELDOM_S)
        _, took = await asyncio.gather(first, late())
        return took

    async def round(self, number: int, share: float) -> dict[str, float]:
        """All turns once; `share` of the big post's way is behind it when the other begins."""
        took = {"big": await self.alone(self.big, number)}
        usual = statistics.median([*self.times["big"], took["big"]])
        for name, turn in (
            ("alone", self.alone(self.small, number)),
            ("meanwhile", self.beside(self.big, number, share * usual)),
            ("at once", self.beside(self.big, number, 0.0)),
            ("at once, few", self.beside(self.third, number, 0.0)),
        ):
            await asyncio.sleep(_PAUSE_S)
            took[name] = await turn
        return took


async def measure(chosen: Settings, rounds: int) -> bool:
    """All of it, over a running stack."""
    world = World.of_stack()
    authors = [await author(world, chosen, n) for n in (BIG, SMALL, SMALL)]
    async with httpx.AsyncClient(base_url=chosen.url("api"), timeout=30.0) as http:
        track = Track(http, chosen.port("redis"), authors)
        await track.round(0, 0.0)  # only warms up
        deadline = time.monotonic() + BUDGET_S
        for number in range(rounds):
            if number and time.monotonic() > deadline:
                break
            for name, took in (await track.round(number + 1, number * _GOLDEN % 1)).items():
                track.times[name].append(took)
        missing, ghosts = wrong(authors, track.wires[0])
    await world.stores.close()
    rows = figures(track.times, missing, ghosts)
    return publish("big_post", "a post with 10,000 followers", rows, seconds=track.times)


def figures(times: dict[str, list[float]], missing: int, ghosts: int) -> list[Figure]:
    """The table."""
    big, own = statistics.median(times["big"]), statistics.median(times["alone"])
    at_once, few = (paired(times[name], times["alone"]) for name in ("at once", "at once, few"))
    told = "complete spread evenly from the big post's complete to its last feed"
    return [
        Figure("complete → last of 10,000 feeds", big, "s", ("<=", LAST_FEED_LIMIT_S)),
        Figure("another author's post, alone", own, "s"),
        Figure("another author's post, meanwhile", statistics.median(times["meanwhile"]), "s"),
        Figure(
            "meanwhile / alone",
            paired(times["meanwhile"], times["alone"]),
            "times",
            ("<=", DELAY_LIMIT),
            told,
        ),
        Figure("both complete at the same moment / alone", at_once, "times"),
        Figure(f"the same beside {SMALL} followers / alone", few, "times"),
        Figure(
            f"beside 10,000 / beside {SMALL}",
            paired(times["at once"], times["at once, few"]),
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

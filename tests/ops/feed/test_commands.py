"""`photofeed feed` on the whole stack: relay, workers and caches are the real ones."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from domain.entities import FeedEntry, Photo
from domain.feed import member
from domain.feed_audit import FRESH_MS
from domain.feed_digest import Total, digest
from domain.post_json import rfc3339
from domain.settings import Settings
from ops.feed.under_way import Unhandled
from stores.connect import Stores
from streams.topology import BY_NAME
from tests.feed_world import entry_of, posted, published
from tests.fresh import fresh_id, now_ms
from tests.ops.cli import assert_one_line, photofeed
from tests.people import add_people
from tests.redis_nodes import clustered
from tests.waiting import until
from topics.catalog import POST_PUBLISHED

LIMIT_S = 60.0
COUNTS = ("posts", "eligible", "delivered", "pending", "lost", "ghosts", "duplicates")


async def post_of(stores: Stores, author: str, at: int) -> Photo:
    """A post, its row first, then its event."""
    post = await posted(stores.photos, author, at)
    await stores.events.publish(POST_PUBLISHED, published(post))
    return post


async def asked_until(true: Callable[[dict[str, Any]], bool], *words: str) -> dict[str, Any]:
    """Ask again and again; the first answer that is right. Fails after the limit."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        answer = await asyncio.to_thread(photofeed, "feed", *words, "--json")
        assert answer.code in (0, 1), answer.error
        if true(answer.document):
            return answer.document
        assert time.monotonic() < deadline, answer.document


async def test_a_post_is_delivered_lost_and_brought_back(stores: Stores) -> None:
    viewer, author = await add_people(stores.users, 2)
    await stores.follows.follow(viewer, author, fresh_id(), now_ms() - 2 * FRESH_MS)
    built = photofeed("feed", "rebuild", "--user", viewer, "--json")
    assert (built.code, built.document["feeds"], built.document["unequal"]) == (0, 1, [])
    published_at = now_ms() - 2 * FRESH_MS
    post = await post_of(stores, author, published_at)
    words = ("explain", post.photo_id, "--user", viewer)
    told = await asked_until(lambda found: found["in_feed"], *words)
    assert (told["how"], told["reason"]) == ("push", "pushed")
    assert told["event_id"] == published(post).event_id
    await stores.redis_server.call("ZREM", f"feed:{viewer}", member(entry_of(post)))
    await asked_until(lambda found: found["reason"] == "lost", *words)
    since = rfc3339(published_at)
    audit = photofeed("feed", "audit", "--since", since, "--json")
    assert (audit.code, audit.document["lost"] > 0) == (1, True)
    found = audit.document
    rest = found["filtered"].get("cold_feed", 0) + found["filtered"].get("below_floor", 0)
    assert found["eligible"] == found["delivered"] + found["pending"] + found["lost"] + rest
    again = photofeed("feed", "rebuild", "--user", viewer, "--json").document
    assert again["digest"] != built.document["digest"]
    assert (again["entries"], again["cassandra_reads"]) == (1, 1)
    assert photofeed("feed", *words, "--json").document["in_feed"]


async def test_what_is_still_to_be_written_is_pending_and_what_a_replay_brings_is_the_same(
    settings: Settings, stores: Stores
) -> None:
    """A replay of the topic mends a cached feed as a rebuild does, to the same digest."""
    viewer, author = await add_people(stores.users, 2)
    await stores.follows.follow(viewer, author, fresh_id(), now_ms() - 2 * FRESH_MS)
    assert photofeed("feed", "rebuild", "--user", viewer).code == 0
    with stopped(settings, "write_feeds"):
        post = await post_of(stores, author, now_ms() - 2 * FRESH_MS)
        words = ("explain", post.photo_id, "--user", viewer)
        await asked_until(lambda found: found["event_id"] is not None, *words)
        assert photofeed("feed", *words, "--json").document["reason"] == "pending"
        since = rfc3339(post.published_at or 0)
        found = photofeed("feed", "audit", "--since", since, "--json").document
        assert found["pending"] > 0
    await asked_until(lambda found: found["reason"] == "pushed", *words)
    await handled(settings, post)
    whole = photofeed("feed", "rebuild", "--user", viewer, "--json").document
    await stores.redis_server.call("ZREM", f"feed:{viewer}", member(entry_of(post)))
    await asked_until(lambda found: found["reason"] == "lost", *words)
    topic = ("--topic", POST_PUBLISHED.name, "--from", "0", "--key", author)
    assert photofeed("replay", *topic, "--group", "plan_fan_out").code == 0
    await asked_until(lambda found: found["in_feed"], *words)
    page = await stores.timelines.page(viewer, None, 100)
    assert page is not None
    total = Total()
    total.add(viewer, digest(page.entries))
    assert str(total) == whole["digest"]


async def handled(settings: Settings, post: Photo) -> None:
    """Wait until its writes don't come again.

    Workers that stood still for long are taken for dead: they write, but may not commit that, and
    whoever has their partitions then writes anew.
    """
    unhandled = Unhandled(settings.address("kafka"), now_ms, (BY_NAME["write_feeds"],))

    async def committed() -> bool:
        return post.photo_id not in (await asyncio.to_thread(unhandled.read, 0.0)).posts

    await until(committed, LIMIT_S)


@contextmanager
def stopped(settings: Settings, stage: str) -> Iterator[None]:
    """The stage's workers stand still."""
    files = (settings.run_dir / "pids").glob(f"worker-{stage}-*.pid")
    pids = [int(each.read_text()) for each in files]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_faults_on_a_cluster_are_found_explained_and_mended(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost post, a misplaced one and a ghost; everybody else's feed is cold there."""
    async with clustered(settings) as stores:
        nodes = stores.settings.redis.cluster_nodes
        monkeypatch.setenv("PHOTOFEED_REDIS__CLUSTER_NODES", json.dumps(nodes))
        viewer, author, stranger = await add_people(stores.users, 3)
        await stores.follows.follow(viewer, author, fresh_id(), now_ms() - 2 * FRESH_MS)
        since = now_ms() - 2 * FRESH_MS
        rows = [await posted(stores.photos, author, since + number) for number in range(3)]
        lost, moved, _ = map(entry_of, rows)
        ghost = entry_of(await posted(stores.photos, stranger, since))
        built = rebuilt(viewer)
        assert built["entries"] == len(rows)
        await stores.redis_server.call("ZREM", f"feed:{viewer}", member(lost))
        for planted in (moved._replace(published_at=moved.published_at + 1), ghost):
            where = f"feed:{viewer}", planted.published_at
            await stores.redis_server.call("ZADD", *where, member(planted))
        token = await stores.follow_cache.following_token(viewer)
        await stores.follow_cache.put_following(viewer, [author, stranger], token)
        assert audited(since, 1) == {"delivered": 1, "lost": 2, "ghosts": 1, "duplicates": 0}
        assert [reason(viewer, each) for each in (moved, ghost)] == ["lost", "ghost"]
        assert rebuilt(viewer)["digest"] == built["digest"]
        assert audited(since, 0) == {"delivered": 3, "lost": 0, "ghosts": 0, "duplicates": 0}


def rebuilt(viewer: str) -> dict[str, Any]:
    """What the rebuild of one feed came to."""
    answer = photofeed("feed", "rebuild", "--user", viewer, "--json")
    assert (answer.code, answer.document["unequal"]) == (0, []), answer.error
    return answer.document


def audited(since: int, code: int) -> dict[str, int]:
    """What an audit of the posts since then counts."""
    answer = photofeed("feed", "audit", "--since", rfc3339(since), "--json")
    assert answer.code == code, answer.error or answer.out
    return {name: answer.document[name] for name in ("delivered", "lost", "ghosts", "duplicates")}


def reason(viewer: str, entry: FeedEntry) -> str:
    """Why a post is in a feed, or isn't."""
    answer = photofeed("feed", "explain", entry.post_id, "--user", viewer, "--json")
    return str(answer.document["reason"])


def test_an_audit_of_nothing_is_clean() -> None:
    later = "2100-01-01T00:00:00Z"  # other tests' posts are of the near future
    answer = photofeed("feed", "audit", "--since", later, "--json")
    assert answer.code == 0, answer.error
    assert {name: answer.document[name] for name in COUNTS} == dict.fromkeys(COUNTS, 0)
    assert answer.document["filtered"] == {}
    table = photofeed("feed", "audit", "--since", later)
    assert (table.code, "lost: 0" in table.out) == (0, True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("audit", "--since", "soon"), 2),
        (("audit", "--since", "17"), 2),
        (("explain", "ph_x", "--user", "u_00000000001"), 2),
        (("explain", "ph_00000000001", "--user", "u_x"), 2),
        (("explain", "ph_00000000001", "--user", "u_00000000001"), 1),
        (("rebuild",), 2),
        (("rebuild", "--user", "u_00000000001", "--all"), 2),
        (("rebuild", "--user", "nobody"), 2),
        (("rebuild", "--user", "u_00000000001", "--resume"), 2),
        (("rebuild", "--user", "u_00000000001"), 1),
        (("rebuild", "--user", "u_00000000001", "--rate", "0"), 2),
        (("rebuild", "--user", "u_00000000001", "--rate", "nan"), 2),
        (("rebuild", "--user", "u_00000000001", "--rate", "inf"), 2),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], code: int) -> None:
    answer = photofeed("feed", *words)
    assert answer.code == code
    assert_one_line(answer)

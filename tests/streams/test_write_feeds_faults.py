"""A killed writer: the next one writes the chunks it left, and nobody gets a post twice (I1)."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.entities import FeedEntry
from domain.settings import Settings
from schemas.events import FanoutChunk
from stores.connect import Stores
from stores.kafka_admin import KafkaAdmin
from tests.fresh import fresh_id, now_ms
from tests.people import add_people
from tests.streams.feed_stage import feed_stage
from tests.streams.rig import Rig, unique, until

FOLLOWERS = 120
CHUNK = 6


@pytest.fixture
async def rig(settings: Settings, tmp_path: Path) -> AsyncIterator[Rig]:
    name = unique("feeds")
    rig = Rig(
        settings,
        feed_stage(name, tmp_path),
        tmp_path,
        ["tests.streams.feed_stage", name, str(tmp_path)],
    )
    rig.create_topics()
    yield rig
    await rig.close()


async def scene(stores: Stores) -> tuple[str, list[str]]:
    """An author, and followers with built, empty feeds."""
    author, *followers = await add_people(stores.users, FOLLOWERS + 1)
    for follower in followers:
        await stores.follows.follow(follower, author, fresh_id(), now_ms())
        token = await stores.timelines.begin_build(follower)
        assert await stores.timelines.finish_build(follower, token, [])
    return author, followers


async def chunks_of(stores: Stores, post: FeedEntry) -> list[FanoutChunk]:
    bounds = [each async for each in stores.follows.chunk_bounds(post.author_id, CHUNK)]
    return [
        FanoutChunk(
            event_id=f"{post.post_id}.{number}",
            occurred_at=post.published_at,
            version=1,
            post_id=post.post_id,
            user_id=post.author_id,
            published_at=post.published_at,
            chunk_no=number,
            after_id=after_id,
            upto_id=upto_id,
        )
        for number, (after_id, upto_id) in enumerate(bounds)
    ]


async def delivered(stores: Stores, followers: list[str]) -> list[list[FeedEntry]]:
    pages = await asyncio.gather(*(stores.timelines.page(f, None, 10) for f in followers))
    return [page.entries if page else [] for page in pages]


def begun(rig: Rig) -> list[int]:
    file = rig.folder / "begun"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


async def test_the_chunks_a_killed_writer_left_are_written_by_the_next(
    settings: Settings, rig: Rig, stores: Stores
) -> None:
    author, followers = await scene(stores)
    post = FeedEntry(now_ms(), fresh_id("ph_"), author)
    chunks = await chunks_of(stores, post)
    assert len(chunks) == FOLLOWERS // CHUNK
    await rig.publish(rig.stage.reads[0], chunks)
    rig.start()
    kafka = KafkaAdmin(settings.address("kafka"))
    await until(lambda: any(kafka.committed(rig.stage.name).values()))
    rig.send(signal.SIGKILL)
    await rig.ended()
    assert [post] in await delivered(stores, followers)
    assert [] in await delivered(stores, followers)
    before = len(begun(rig))
    rig.start()
    await rig.caught_up()
    assert await delivered(stores, followers) == [[post]] * FOLLOWERS
    assert len(begun(rig)) - before < len(chunks), "it began again from the first chunk"

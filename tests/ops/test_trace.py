"""`photofeed trace`: one photo's way, in order."""

import asyncio

from domain.settings import Settings
from ops.trace import stage_times
from schemas.events import StageTraced
from stores.connect import Stores
from stores.kafka_admin import KafkaAdmin
from stores.kafka_reader import partition_of
from tests.fresh import fresh_id, now_ms
from tests.ops.cli import assert_one_line, photofeed
from topics.catalog import STAGE_TRACED


async def write(stores: Stores, photo_id: str, stage: str, at: int) -> None:
    line = StageTraced(
        event_id=fresh_id(),
        occurred_at=at,
        version=1,
        photo_id=photo_id,
        stage=stage,
        topic="upload.completed",
        partition=3,
        offset=9,
        wait_ms=11,
        work_ms=22,
        outcome="done",
    )
    await stores.events.publish(STAGE_TRACED, line)


async def test_stages_are_told_in_the_order_of_their_times(stores: Stores) -> None:
    photo_id, other = fresh_id("ph_"), fresh_id("ph_")
    at = now_ms()
    await write(stores, photo_id, "publish_post", at + 20)
    await write(stores, other, "notify", at + 15)
    await write(stores, photo_id, "process_photo", at + 10)
    answer = photofeed("trace", photo_id, "--json")
    assert answer.code == 0
    assert answer.document["photo_id"] == photo_id
    stages = answer.document["stages"]
    assert [stage["stage"] for stage in stages] == ["process_photo", "publish_post"]
    first = stages[0]
    assert (first["topic"], first["partition"], first["offset"]) == ("upload.completed", 3, 9)
    assert (first["wait_ms"], first["work_ms"]) == (11, 22)
    assert first["at"].endswith("Z")


async def test_keys_are_looked_for_where_producers_put_them(
    stores: Stores, admin: KafkaAdmin
) -> None:
    for _ in range(5):
        photo_id = fresh_id("ph_")
        place = (STAGE_TRACED.name, partition_of(photo_id.encode(), STAGE_TRACED.partitions))
        before = admin.ends([place])[place]
        await write(stores, photo_id, "process_photo", now_ms())
        assert admin.ends([place])[place] > before


async def test_times_of_several_photos_are_read_at_once(stores: Stores, settings: Settings) -> None:
    photos = [fresh_id("ph_") for _ in range(3)]
    for photo_id in (*photos, fresh_id("ph_")):
        for stage in ("publish_post", "process_photo"):
            await write(stores, photo_id, stage, now_ms())
    took = await asyncio.to_thread(stage_times, settings, photos)
    assert list(took.items()) == [("process_photo", [33.0] * 3), ("publish_post", [33.0] * 3)]
    assert await asyncio.to_thread(stage_times, settings, ()) == {}


def test_a_photo_nobody_knows_is_one_line() -> None:
    for photo_id in (fresh_id("ph_"), "ph_", "u_00000000000", "x"):
        answer = photofeed("trace", photo_id)
        assert answer.code == 1
        assert_one_line(answer)

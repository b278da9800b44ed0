"""A worker process on the real broker: whatever ends it, nothing is lost and order is kept."""

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.settings import Settings
from schemas.events import LikeCreated
from streams.runtime import dead_letters
from tests.fresh import fresh_id, now_ms
from tests.streams.rig import Rig, unique, until
from tests.streams.toy_stage import toy_stage

KEYS = 4


@pytest.fixture
async def rig(settings: Settings, tmp_path: Path) -> AsyncIterator[Rig]:
    name = unique("toy")
    stage = toy_stage(name, tmp_path)
    rig = Rig(settings, stage, tmp_path, ["tests.streams.toy_stage", name, str(tmp_path)])
    rig.create_topics()
    yield rig
    await rig.close()


def event(number: int, what: str = "ok", key: int | None = None) -> LikeCreated:
    return LikeCreated(
        event_id=fresh_id(),
        occurred_at=now_ms(),
        version=number,
        post_id=f"ph_{number % KEYS if key is None else key}",
        user_id="u_toy",
        author_id=what,
    )


def journal(rig: Rig) -> list[tuple[str, int]]:
    """Effects in the order they became durable: (key, version)."""
    file = rig.folder / "journal"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(key, int(version)) for key, version in map(str.split, lines)]


def effects(rig: Rig) -> dict[str, list[int]]:
    """Versions by key, each where it was seen first."""
    by_key: dict[str, list[int]] = {}
    for key, version in dict.fromkeys(journal(rig)):
        by_key.setdefault(key, []).append(version)
    return by_key


async def test_nothing_is_lost_whatever_ends_the_worker(rig: Rig) -> None:
    [source] = rig.stage.reads
    troubles = {20: "crash_once", 160: "slow"}
    first = [event(n, troubles.get(n, "ok")) for n in range(100)]
    second = [event(n, troubles.get(n, "ok")) for n in range(100, 200)]
    await rig.publish(source, first)
    bad = (
        b"ph_0",
        b"\x00\x00\x00\x00\x01 no like",
        [("traceparent", b"00-x"), ("own", b"\xff\x00")],
    )
    await rig.publish_raw(source.name, *bad)
    await rig.publish(source, second)

    rig.start()
    assert await rig.ended() == 1  # the exception left the offset where it was
    rig.start()
    await until(lambda: len(set(journal(rig))) > 110)
    rig.send(signal.SIGKILL)
    await rig.ended()
    rig.start()
    await until((rig.folder / "in-hand").exists)
    rig.send(signal.SIGTERM)
    assert await rig.ended(10.0) == 0
    assert journal(rig).count(("ph_0", 160)) == 1  # it finished what was in hand
    rig.start()
    await until(lambda: len(set(journal(rig))) == 200)
    await until(lambda: len(rig.records(rig.stage.dead_letters.name)) > 0)
    rig.send(signal.SIGTERM)
    assert await rig.ended(10.0) == 0

    assert effects(rig) == {f"ph_{k}": list(range(k, 200, KEYS)) for k in range(KEYS)}
    assert journal(rig).count(("ph_0", 160)) == 1  # and committed it
    emitted = {record.key: set[str]() for record in rig.records(rig.stage.writes[0].name)}
    assert set(emitted) == {f"ph_{k}".encode() for k in range(KEYS)}
    dead = rig.records(rig.stage.dead_letters.name)[0]
    assert (dead.key, dead.value, dead.timestamp_ms) == (*bad[:2], 1_780_000_000_123)
    assert list(dead_letters.original(dead.headers)) == bad[2]
    told = dead_letters.read(dead.headers)
    assert told is not None
    assert (told.source_topic, told.reason, told.group) == (source.name, "bad_avro", source.name)
    assert rig.records(source.name) and any(
        (r.partition, r.offset, r.value) == (told.source_partition, told.source_offset, dead.value)
        for r in rig.records(source.name)
    )


async def test_trouble_goes_where_it_belongs(rig: Rig) -> None:
    [source] = rig.stage.reads
    retry, dead = rig.stage.retry.name, rig.stage.dead_letters.name
    await rig.publish(source, [event(0, "away", 0), event(1, "ok", 0)])
    rig.start()
    health = rig.folder / "health" / f"worker-{rig.stage.name}-0.json"
    await until(lambda: health.exists() and json.loads(health.read_text())["ready"])
    await until(lambda: len(list(rig.folder.glob("seen-*"))) > 0)
    # other partitions go on: one key of these is in the other one
    await rig.publish(source, [event(2, "ok", n) for n in range(1, 8)])
    await until(lambda: len(journal(rig)) > 0)
    assert "ph_0" not in effects(rig)
    assert rig.records(retry) == []  # an outage fills no retry topic and burns no tries
    (rig.folder / "back").touch()
    await until(lambda: len(journal(rig)) == 9)
    assert effects(rig)["ph_0"] == [0, 1]
    assert rig.records(retry) == rig.records(dead) == []

    await rig.publish(
        source, [event(3, "hopeless", 0), event(4, "transient", 1), event(5, "ok", 1)]
    )
    await until(lambda: len(rig.records(dead)) == 2)
    await until(lambda: ("ph_1", 5) in journal(rig))  # the partition moved on
    told = [dead_letters.read(record.headers) for record in rig.records(dead)]
    by_reason = {each.reason: each for each in told if each is not None}
    assert set(by_reason) == {"unknown_user", "retries_exhausted"}
    exhausted = by_reason["retries_exhausted"]
    assert (exhausted.attempts, exhausted.rounds, exhausted.source_topic) == (9, 2, source.name)
    assert exhausted.last_at - exhausted.first_at >= 2 * 0.8 * 300
    assert len(rig.records(retry)) == 2

"""A worker process on the real broker: whatever ends it, nothing is lost and order is kept."""

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
from topics.record import Record

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
    await rig.publish(source, [event(n, troubles.get(n, "ok")) for n in range(200)])

    rig.start()
    assert await rig.ended() == 1  # the exception left the offset where it was
    rig.start()
    await until(lambda: len(set(journal(rig))) > 110)
    rig.send(signal.SIGKILL)
    await rig.ended()
    rig.start()
    await until((rig.folder / "in-hand").exists)
    rig.send(signal.SIGTERM)
    assert await rig.ended(15.0) == 0
    assert journal(rig).count(("ph_0", 160)) == 1  # it finished what was in hand
    rig.start()
    await until(lambda: len(set(journal(rig))) == 200)
    rig.send(signal.SIGTERM)
    assert await rig.ended(15.0) == 0

    assert effects(rig) == {f"ph_{k}": list(range(k, 200, KEYS)) for k in range(KEYS)}
    assert journal(rig).count(("ph_0", 160)) == 1  # and committed it
    emitted = {record.value for record in rig.records(rig.stage.writes[0].name)}
    assert len(emitted) == 200  # repeats are the same bytes again: derived ids


async def test_an_absent_store_is_waited_for_and_burns_no_tries(rig: Rig) -> None:
    [source] = rig.stage.reads
    await rig.publish(source, [event(0, "away", 0), event(1, "ok", 0)])
    rig.start()
    await until(lambda: len(list(rig.folder.glob("seen-*"))) > 0)
    await rig.publish(source, [event(2, "ok", n) for n in range(1, 8)])  # in both partitions
    await until(lambda: len(journal(rig)) > 0)  # one goes on
    assert "ph_0" not in effects(rig)
    (rig.folder / "back").touch()
    await until(lambda: len(journal(rig)) == 9)
    assert effects(rig)["ph_0"] == [0, 1]
    assert rig.records(rig.stage.retry.name) == rig.records(rig.stage.dead_letters.name) == []


async def test_what_was_in_hand_when_a_worker_was_killed_comes_again(rig: Rig) -> None:
    """Its offset stayed, though others were committed meanwhile."""
    [source] = rig.stage.reads
    await rig.publish(source, [event(0, "away", 0)])
    rig.start()
    await until(lambda: len(list(rig.folder.glob("seen-*"))) > 0)
    await rig.publish(source, [event(1, "ok", n) for n in range(1, 8)])  # in both partitions
    await until(lambda: sum(rig.committed().values()) > 0)
    rig.send(signal.SIGKILL)
    await rig.ended()
    (rig.folder / "back").touch()
    rig.start()
    await rig.caught_up()
    assert effects(rig)["ph_0"] == [0]


async def test_what_cannot_be_handled_is_kept_byte_for_byte_and_the_partition_moves_on(
    rig: Rig,
) -> None:
    [source] = rig.stage.reads
    dead = rig.stage.dead_letters.name
    own = (("traceparent", b"00-x"), ("own", b"\xff\x00"))
    unreadable = [(b"ph_2", b"\x00\x00\x00\x00\x01 no like", own), (b"ph_2", None, ())]
    for bad in unreadable:
        await rig.publish_raw(source.name, *bad)
    troubles = [event(3, "hopeless", 0), event(4, "transient", 1), event(5, "ok", 1)]
    await rig.publish(source, troubles)
    rig.start()
    await until(lambda: len(rig.records(dead)) == 4)
    await until(lambda: ("ph_1", 5) in journal(rig))
    by_reason = {failure(record).reason: record for record in rig.records(dead)}
    assert set(by_reason) == {"bad_avro", "unknown_post", "retries_exhausted"}

    for bad in unreadable:
        [found] = [each for each in rig.records(source.name) if each.value == bad[1]]
        [kept] = [each for each in rig.records(dead) if each.value == bad[1]]
        assert (kept.key, kept.value, dead_letters.original(kept.topic, kept.headers)) == bad
        assert kept.timestamp_ms == found.timestamp_ms
        told = failure(kept)
        assert told.reason == "bad_avro"
        assert (told.source_partition, told.source_offset) == (found.partition, found.offset)

    assert len(rig.records(rig.stage.retry.name)) == 2
    exhausted = failure(by_reason["retries_exhausted"])
    assert (exhausted.attempts, exhausted.rounds, exhausted.source_topic) == (9, 2, source.name)
    assert exhausted.last_at - exhausted.first_at >= 2 * 0.8 * 300


def failure(record: Record) -> dead_letters.Failure:
    told = dead_letters.read(record.headers)
    assert told is not None
    return told

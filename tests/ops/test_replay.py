"""`photofeed replay`: what goes where, how often, and how it goes on after a break."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.errors import Transient
from domain.settings import Settings
from ops.replay import Bookmark, Job, run
from ops.replay_plan import Bound, condition, parse_bound
from schemas.events import PostDeleted, StageTraced
from stores.connect import Stores
from stores.kafka_admin import KafkaAdmin
from stores.kafka_reader import partition_of, read
from streams.runtime.dead_letters import PREFIX
from streams.topology import BY_NAME
from tests.fresh import fresh_id, now_ms
from tests.ops.cli import assert_one_line, photofeed
from topics.catalog import POST_DELETED, STAGE_TRACED
from topics.record import Record

COUNT = 10


@dataclass(frozen=True)
class Written:
    """Ten traces of a photo that nobody else has: work_ms is 0 … 9."""

    photo_id: str
    since: int


def traced(photo_id: str, work_ms: int) -> StageTraced:
    return StageTraced(
        event_id=fresh_id(),
        occurred_at=now_ms(),
        version=1,
        photo_id=photo_id,
        stage="process_photo",
        topic="upload.completed",
        partition=0,
        offset=work_ms,
        wait_ms=1,
        work_ms=work_ms,
        outcome="done",
    )


@pytest.fixture
async def written(stores: Stores) -> Written:
    made = Written(fresh_id("ph_"), now_ms())
    for work_ms in range(COUNT):
        await stores.events.publish(STAGE_TRACED, traced(made.photo_id, work_ms))
    return made


def everything(settings: Settings, admin: KafkaAdmin, topic: str) -> list[Record]:
    places = [(topic, p) for p in range(admin.partitions()[topic])]
    ends = admin.ends(places)
    return list(read(settings.address("kafka"), {place: (0, ends[place]) for place in places}))


def replay(written: Written, *words: str) -> dict[str, object]:
    answer = photofeed(
        "replay", "--topic", STAGE_TRACED.name, "--key", written.photo_id, *words, "--json"
    )
    assert answer.code == 0, answer.error
    return answer.document


def test_from_zero_is_the_beginning_and_the_bytes_are_the_same(
    settings: Settings, admin: KafkaAdmin, side_topic: Callable[..., str], written: Written
) -> None:
    target = side_topic(2)
    found = replay(written, "--from", "0", "--to-topic", target)
    assert (found["matched"], found["replayed"], found["dry_run"]) == (COUNT, COUNT, False)
    copies = everything(settings, admin, target)
    assert [STAGE_TRACED.codec.decode(each.value).work_ms for each in copies] == list(range(COUNT))
    assert {each.key for each in copies} == {written.photo_id.encode()}
    assert all(written.since - 1000 <= each.timestamp_ms <= now_ms() for each in copies)


def test_a_condition_chooses_by_the_events_fields(
    settings: Settings, admin: KafkaAdmin, side_topic: Callable[..., str], written: Written
) -> None:
    target = side_topic()
    where = "work_ms >= 4 and outcome == 'done'"
    found = replay(written, "--from", "0", "--to-topic", target, "--where", where)
    assert found["replayed"] == 6
    assert len(everything(settings, admin, target)) == 6


def test_times_bound_the_range(side_topic: Callable[..., str], written: Written) -> None:
    target = side_topic()
    early = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(written.since / 1000 - 3600))
    late = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(written.since / 1000 + 3600))
    assert replay(written, "--from", early, "--to-topic", target)["matched"] == COUNT
    assert replay(written, "--from", late, "--to-topic", target)["matched"] == 0
    bounded = replay(written, "--from", "0", "--to", early, "--to-topic", target)
    assert bounded["matched"] == 0


def test_a_dry_run_writes_nothing(
    settings: Settings, admin: KafkaAdmin, side_topic: Callable[..., str], written: Written
) -> None:
    target = side_topic()
    found = replay(written, "--from", "0", "--to-topic", target, "--dry-run")
    assert (found["matched"], found["replayed"], found["dry_run"]) == (COUNT, 0, True)
    assert everything(settings, admin, target) == []


def test_the_rate_is_kept(side_topic: Callable[..., str], written: Written) -> None:
    found = replay(written, "--from", "0", "--to-topic", side_topic(), "--rate", "5")
    assert found["replayed"] == COUNT
    assert float(str(found["seconds"])) >= COUNT / 5 - 0.1


async def test_into_a_group_only_its_retry_topic_is_written(
    settings: Settings, admin: KafkaAdmin, stores: Stores
) -> None:
    event = PostDeleted(
        event_id=fresh_id(),
        occurred_at=now_ms(),
        version=1,
        post_id=fresh_id("ph_"),
        user_id=fresh_id("u_"),
        published_at=now_ms(),
    )
    trace = {"traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    await stores.events.publish(POST_DELETED, event, trace)
    place = (POST_DELETED.name, partition_of(event.user_id.encode(), POST_DELETED.partitions))
    end = admin.ends([place])[place]
    words = ("--from", "0", "--key", event.user_id, "--group", "index_search", "--json")
    found = photofeed("replay", "--topic", POST_DELETED.name, *words)
    assert found.document["replayed"] == 1
    assert admin.ends([place])[place] == end
    retry = everything(settings, admin, BY_NAME["index_search"].retry.name)
    (record,) = (each for each in retry if each.key == event.user_id.encode())
    headers = dict(record.headers)
    assert record.value == POST_DELETED.codec.encode(event)
    assert record.partition == place[1]
    assert headers["traceparent"] == trace["traceparent"]
    assert headers[f"{PREFIX}source-topic"] == POST_DELETED.name.encode()
    assert headers[f"{PREFIX}source-partition"] == str(place[1]).encode()
    assert headers[f"{PREFIX}source-offset"] == str(end - 1).encode()


async def test_a_broken_replay_goes_on_where_it_was(
    settings: Settings,
    admin: KafkaAdmin,
    stores: Stores,
    side_topic: Callable[..., str],
    tmp_path: Path,
) -> None:
    source, target = side_topic(), side_topic()
    for number in range(COUNT):
        await stores.events.publish_raw(source, b"key", b"%d" % number, ())

    def breaks(record: Record) -> bool:
        if record.offset == 5:
            raise Transient("broken off")
        return True

    bookmark = Bookmark(tmp_path / "bookmark.json")
    with pytest.raises(Transient):
        await run(settings, job(source, target, breaks), bookmark, resume=True, quiet=True)
    assert [each.value for each in everything(settings, admin, target)] == [b"0", b"1", b"2", b"3"]
    await stores.events.publish_raw(source, b"key", b"written later", ())
    rest = await run(
        settings, job(source, target, lambda _: True), bookmark, resume=True, quiet=True
    )
    assert rest["replayed"] == COUNT - 4
    values = [each.value for each in everything(settings, admin, target)]
    assert values == [b"%d" % number for number in range(COUNT)]
    assert not bookmark.path.exists()


def job(source: str, target: str, wanted: Callable[[Record], bool]) -> Job:
    """Two records at a time."""
    return Job(
        topic=source,
        since=Bound(offset=0),
        until=None,
        wanted=wanted,
        group=None,
        to_topic=target,
        rate=2.0,
        dry_run=False,
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--topic", "stage.traced", "--from", "0"), 2),
        (("--topic", "stage.traced", "--from", "0", "--group", "notify"), 2),
        (("--topic", "stage.traced", "--from", "soon", "--to-topic", "x"), 2),
        (("--topic", "stage.traced", "--from", "0", "--to-topic", "post.published"), 2),
        (("--topic", "stage.traced", "--from", "0", "--to-topic", "no.such.topic"), 1),
        (("--topic", "like.created", "--from", "0", "--group", "notify", "--where", "a =="), 2),
        (("--topic", "like.created", "--from", "0", "--group", "notify", "--where", "nope"), 2),
        (("--topic", "like.created", "--from", "0", "--group", "notify", "--rate", "0"), 2),
        (("--topic", "like.created", "--group", "notify"), 2),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], code: int) -> None:
    answer = photofeed("replay", *words)
    assert answer.code == code
    assert_one_line(answer)


def test_bounds_are_offsets_or_times() -> None:
    assert parse_bound("12") == Bound(offset=12)
    assert parse_bound("1970-01-01T00:00:01Z") == Bound(time_ms=1000)
    assert parse_bound("1970-01-01T01:00:01+01:00") == Bound(time_ms=1000)
    assert parse_bound("1970-01-01T00:00:01") == Bound(time_ms=1000)


def test_conditions_can_do_nothing_else() -> None:
    value = STAGE_TRACED.codec.encode(traced("ph_1", 3))
    record = Record(STAGE_TRACED.name, 0, 0, b"ph_1", value, (), 0)

    def holds(where: str) -> bool:
        return condition(STAGE_TRACED.name, None, where)(record)

    assert holds("work_ms == 3 and len(stage) > 5 and photo_id in ['ph_1']")
    assert not holds("work_ms > 3")
    assert not holds("work_ms > stage")
    for hostile in ("().__class__", "open('x')", "9**9**9"):
        with pytest.raises(ValueError, match=re.escape(hostile)):
            holds(hostile)


def test_what_cant_be_decoded_meets_no_condition() -> None:
    broken = Record(STAGE_TRACED.name, 0, 0, b"k", b"\xff", (), 0)
    assert not condition(STAGE_TRACED.name, None, "work_ms >= 0")(broken)
    assert condition(STAGE_TRACED.name, "k", None)(broken)
    assert not condition(STAGE_TRACED.name, "other", None)(broken)

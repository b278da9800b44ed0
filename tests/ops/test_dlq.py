"""`photofeed dlq`: dead letters found, replayed to their stage once, discarded with a reason."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from domain.settings import Settings
from ops.dead_letters import every
from schemas.events import PostDeleted
from stores.connect import Stores
from stores.kafka_admin import KafkaAdmin
from stores.kafka_reader import read
from streams.runtime.dead_letters import PREFIX, Failure
from streams.topology import BY_NAME
from tests.fresh import fresh_id, now_ms
from tests.ops.cli import assert_one_line, photofeed
from topics.catalog import POST_DELETED
from topics.record import Record

STAGE = BY_NAME["index_search"]
"""A post.deleted of a post nobody made leaves only a tombstone: harmless on a live stack."""
TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

NULL: Any = ("note", None)
"""Kafka allows a header without a value."""


@dataclass(frozen=True)
class Letter:
    """A dead letter of this test's own."""

    id: str
    event: PostDeleted
    timestamp_ms: int


@pytest.fixture
async def letter(settings: Settings, stores: Stores) -> Letter:
    """One in the dead letters of STAGE."""
    event = PostDeleted(
        event_id=fresh_id(),
        occurred_at=now_ms(),
        version=7,
        post_id=fresh_id("ph_"),
        user_id=fresh_id("u_"),
        published_at=now_ms(),
    )
    return await bury(settings, stores, event, POST_DELETED.codec.encode(event))


async def bury(settings: Settings, stores: Stores, event: PostDeleted, value: bytes) -> Letter:
    failure = Failure(
        source_topic=POST_DELETED.name,
        source_partition=3,
        source_offset=42,
        group=STAGE.name,
        stage=STAGE.name,
        reason="invalid_event",
        message="Unrecoverable: made by a test",
        attempts=1,
        first_at=1_800_000_000_000,
        last_at=1_800_000_000_001,
    )
    at = now_ms() - 5000
    headers = (TRACE, NULL, *failure.headers())
    key = POST_DELETED.key_of(event)
    await stores.events.publish_raw(STAGE.dead_letters.name, key, value, headers, at)
    (record,) = (each.record for each in every(settings) if each.record.key == key)
    return Letter(record.address, event, at)


def retried(settings: Settings, admin: KafkaAdmin, event: PostDeleted) -> list[Record]:
    """What the stage's retry topic holds of an event's user."""
    places = [(STAGE.retry.name, p) for p in range(STAGE.partitions)]
    ranges = {place: (0, end) for place, end in admin.ends(places).items()}
    key = POST_DELETED.key_of(event)
    return [record for record in read(settings.address("kafka"), ranges) if record.key == key]


def listed(letter: Letter) -> list[dict[str, object]]:
    chosen = ("--group", STAGE.name, "--reason", "invalid_event")
    answer = photofeed("dlq", "list", *chosen, "--limit", "1000", "--json")
    assert answer.code == 0
    return [entry for entry in answer.document["entries"] if entry["id"] == letter.id]


def test_an_open_dead_letter_is_listed_in_the_contracts_shape(letter: Letter) -> None:
    (entry,) = listed(letter)
    assert entry == {
        "id": letter.id,
        "source_topic": "post.deleted",
        "source_partition": 3,
        "source_offset": 42,
        "group": "index_search",
        "stage": "index_search",
        "reason": "invalid_event",
        "message": "Unrecoverable: made by a test",
        "attempts": 1,
        "first_failed_at": "2027-01-15T08:00:00.000Z",
        "last_failed_at": "2027-01-15T08:00:00.001Z",
        "key": letter.event.user_id,
    }


def test_show_decodes_the_event_and_keeps_its_own_headers(letter: Letter) -> None:
    shown = photofeed("dlq", "show", letter.id, "--json").document
    assert shown["event"]["post_id"] == letter.event.post_id
    assert shown["headers"] == {"traceparent": TRACE[1].decode(), "note": ""}
    assert shown["decision"] is None


def test_a_replay_goes_to_the_stage_alone_with_its_own_bytes(
    settings: Settings, admin: KafkaAdmin, letter: Letter
) -> None:
    before = admin.ends([(POST_DELETED.name, p) for p in range(POST_DELETED.partitions)])
    assert photofeed("dlq", "replay", letter.id, "--json").document["replayed"] == 1
    (record,) = retried(settings, admin, letter.event)
    assert record.value == POST_DELETED.codec.encode(letter.event)
    assert record.timestamp_ms == letter.timestamp_ms
    headers: dict[str, Any] = dict(record.headers)
    assert (headers["traceparent"], headers["note"]) == (TRACE[1], None)
    assert headers[f"{PREFIX}source-topic"] == b"post.deleted"
    assert headers[f"{PREFIX}not-before"] == b"0"
    assert headers[f"{PREFIX}replayed-from"] == letter.id.encode()
    assert admin.ends(list(before)) == before


def test_a_second_replay_does_nothing(
    settings: Settings, admin: KafkaAdmin, letter: Letter
) -> None:
    assert photofeed("dlq", "replay", letter.id, "--json").document["replayed"] == 1
    assert photofeed("dlq", "replay", letter.id, "--json").document["replayed"] == 0
    assert len(retried(settings, admin, letter.event)) == 1
    assert listed(letter) == []
    assert photofeed("dlq", "show", letter.id, "--json").document["decision"] == "replayed"


def test_a_dry_run_only_counts(settings: Settings, admin: KafkaAdmin, letter: Letter) -> None:
    answer = photofeed("dlq", "replay", letter.id, "--dry-run", "--json")
    assert answer.document == {"replayed": 1, "dry_run": True}
    assert retried(settings, admin, letter.event) == []
    assert listed(letter)


def test_discarding_takes_a_reason_and_is_remembered(letter: Letter) -> None:
    without = photofeed("dlq", "discard", letter.id)
    assert without.code == 2
    assert_one_line(without)
    done = photofeed("dlq", "discard", letter.id, "--why", "a test", "--json")
    assert done.document == {"discarded": 1}
    assert listed(letter) == []
    assert photofeed("dlq", "replay", letter.id, "--json").document["replayed"] == 0


def test_an_edited_dead_letter_is_replayed_as_edited(
    settings: Settings, admin: KafkaAdmin, letter: Letter
) -> None:
    answer = photofeed("dlq", "edit", letter.id, "--set", f"version={json.dumps(8)}", "--json")
    assert answer.document["replayed"] == 1
    (record,) = retried(settings, admin, letter.event)
    assert POST_DELETED.codec.decode(record.value).version == 8
    assert photofeed("dlq", "replay", letter.id, "--json").document["replayed"] == 0


def test_an_edit_that_fits_no_field_is_refused(letter: Letter) -> None:
    for change in ("nosuch=1", 'version="eight"'):
        answer = photofeed("dlq", "edit", letter.id, "--set", change)
        assert answer.code == 1
        assert_one_line(answer)
    assert photofeed("dlq", "edit", letter.id, "--set", "version=").code == 2


async def test_bytes_that_are_no_event_can_be_seen(
    settings: Settings, stores: Stores, letter: Letter
) -> None:
    other = PostDeleted(
        event_id=fresh_id(),
        occurred_at=0,
        version=1,
        post_id="",
        user_id=fresh_id("u_"),
        published_at=0,
    )
    broken = await bury(settings, stores, other, b"\xff\x00")
    shown = photofeed("dlq", "show", broken.id, "--json").document
    assert shown["event"] is None
    assert shown["undecodable"]
    assert shown["value_hex"] == "ff00"
    assert letter.id != broken.id


def test_pages_follow_one_another(letter: Letter) -> None:
    seen: list[str] = []
    cursor: list[str] = []
    while True:
        page = photofeed("dlq", "list", "--limit", "7", *cursor, "--json").document
        seen += [entry["id"] for entry in page["entries"]]
        if page["next_cursor"] is None:
            break
        cursor = ["--cursor", page["next_cursor"]]
    assert len(seen) == len(set(seen))
    assert letter.id in seen


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("replay",), 2),
        (("replay", "here"), 2),
        (("replay", "--all", "a/0/0"), 2),
        (("discard", "--why", "x"), 2),
        (("show", "post.published/0/0"), 1),
        (("show", "index_search.dlq/0/999999999"), 1),
        (("list", "--reason", "whim"), 2),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], code: int) -> None:
    answer = photofeed("dlq", *words)
    assert answer.code == code
    assert_one_line(answer)

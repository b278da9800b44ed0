"""Blocklist and moderation: the twins and PostgreSQL keep the same promises."""

import secrets
from dataclasses import dataclass, replace

import psycopg
import pytest

from domain.errors import NotFound
from domain.moderation import AlreadyRestored, BlockedHash, NewCase, kept_key
from domain.ports.moderation import Blocklist, Moderation
from schemas.events import Focus, Location, UploadCompleted
from stores.memory.moderation import MemoryBlocklist, MemoryModeration
from stores.postgres_blocklist import PostgresBlocklist
from stores.postgres_moderation import PostgresModeration
from stores.postgres_pool import PostgresPool
from tests.fresh import fresh_id, now_ms
from topics.catalog import UPLOAD_COMPLETED


@dataclass
class Both:
    """The two ports over one store."""

    blocklist: Blocklist
    cases: Moderation


@pytest.fixture(params=["memory", "postgres"])
def both(request: pytest.FixtureRequest, postgres: PostgresPool) -> Both:
    if request.param == "memory":
        blocklist = MemoryBlocklist()
        return Both(blocklist, MemoryModeration(blocklist))
    return Both(PostgresBlocklist(postgres), PostgresModeration(postgres))


def fresh_entry() -> BlockedHash:
    return BlockedHash(secrets.token_hex(32), "a list", "abuse", now_ms())


def fresh_case(matched: str) -> NewCase:
    photo_id, user_id = fresh_id("ph_"), fresh_id("u_")
    upload = UploadCompleted(
        event_id=f"{photo_id}.completed",
        occurred_at=now_ms(),
        version=3,
        photo_id=photo_id,
        user_id=user_id,
        object_key=f"{user_id}/{photo_id}",
        etag="ab",
        content_type="image/heic",
        size_bytes=17,
        caption="Abend 🌅",
        tags=("see",),
        alt_text="a lake",
        location=Location(36.27, -121.81),
        focus=Focus(0.0, 1.0),
    )
    return NewCase(upload, now_ms(), "0f" * 32, matched, 7, kept_key(upload))


async def all_hashes(blocklist: Blocklist) -> list[str]:
    joined = b"".join([part async for part in blocklist.hashes()])
    return [joined[at : at + 32].hex() for at in range(0, len(joined), 32)]


async def test_entries_are_added_once_and_removed(both: Both) -> None:
    one, two = fresh_entry(), fresh_entry()
    before = await both.blocklist.count()
    assert await both.blocklist.add([one, two]) == 2
    assert await both.blocklist.add([replace(one, source="another")]) == 0
    assert await both.blocklist.count() == before + 2
    assert {one.hash, two.hash} <= set(await all_hashes(both.blocklist))
    assert await both.blocklist.remove(one.hash)
    assert not await both.blocklist.remove(one.hash)
    hashes = await all_hashes(both.blocklist)
    assert one.hash not in hashes
    assert two.hash in hashes


async def test_every_change_of_the_list_is_a_new_version(both: Both) -> None:
    entry = fresh_entry()
    versions = [await both.blocklist.version()]
    await both.blocklist.add([entry])
    versions.append(await both.blocklist.version())
    await both.blocklist.remove(entry.hash)
    versions.append(await both.blocklist.version())
    assert len(set(versions)) == 3


async def test_the_list_is_paged_in_the_order_of_its_hashes(both: Both) -> None:
    entries = sorted((fresh_entry() for _ in range(3)), key=lambda entry: entry.hash)
    await both.blocklist.add(entries)
    found: list[BlockedHash] = []
    while page := await both.blocklist.page(found[-1].hash if found else "", 2):
        found += page
    assert [each for each in found if each in entries] == entries
    assert [each.hash for each in found] == sorted({each.hash for each in found})


async def test_a_long_list_is_read_whole(both: Both) -> None:
    entries = [fresh_entry() for _ in range(20_100)]
    assert await both.blocklist.add(entries) == len(entries)
    assert {each.hash for each in entries} <= set(await all_hashes(both.blocklist))


async def test_a_photo_has_one_case(both: Both) -> None:
    entry = fresh_entry()
    await both.blocklist.add([entry])
    new = fresh_case(entry.hash)
    await both.cases.open(new)
    await both.cases.open(replace(new, distance=1, opened_at=1))
    case = await both.cases.get(new.upload.photo_id)
    assert case is not None
    assert (case.distance, case.opened_at, case.status) == (7, new.opened_at, "open")
    assert (case.source, case.reason) == ("a list", "abuse")
    assert (case.matched, case.phash, case.kept_key) == (entry.hash, new.phash, new.kept_key)
    assert await both.cases.upload(new.upload.photo_id) == new.upload
    assert case in await both.cases.open_cases(10_000)
    assert case in await both.cases.latest(10_000)


async def test_a_case_opens_though_its_entry_is_gone(both: Both) -> None:
    new = fresh_case("ab" * 32)
    await both.cases.open(new)
    case = await both.cases.get(new.upload.photo_id)
    assert case is not None
    assert (case.source, case.reason) == ("", "")


async def test_decisions_are_kept_and_a_restored_photo_is_final(both: Both) -> None:
    new = fresh_case("ab" * 32)
    photo_id = new.upload.photo_id
    await both.cases.open(new)
    await both.cases.uphold(photo_id, "sam", "it is", 5)
    case = await both.cases.get(photo_id)
    assert case is not None
    assert case.status == "upheld"
    assert case not in await both.cases.open_cases(10_000)
    await both.cases.restore(replace(new.upload, etag="cd"), "kim", "it is not", 6)
    with pytest.raises(AlreadyRestored):
        await both.cases.uphold(photo_id, "sam", "no", 7)
    with pytest.raises(AlreadyRestored):
        await both.cases.restore(new.upload, "sam", "again", 8)
    made = [
        (each.decision, each.decided_by, each.decided_at, each.why)
        for each in await both.cases.decisions(photo_id)
    ]
    assert made == [("upheld", "sam", 5, "it is"), ("restored", "kim", 6, "it is not")]


async def test_what_has_no_case_is_not_found(both: Both) -> None:
    unknown = fresh_case("ab" * 32).upload
    assert await both.cases.get(unknown.photo_id) is None
    assert await both.cases.decisions(unknown.photo_id) == []
    with pytest.raises(NotFound):
        await both.cases.upload(unknown.photo_id)
    with pytest.raises(NotFound):
        await both.cases.uphold(unknown.photo_id, "sam", "why", 1)
    with pytest.raises(NotFound):
        await both.cases.restore(unknown, "sam", "why", 1)


async def test_a_restored_upload_is_enqueued_in_the_same_commit(postgres: PostgresPool) -> None:
    cases, new = PostgresModeration(postgres), fresh_case("ab" * 32)
    await cases.open(new)
    again = replace(new.upload, etag="cd")
    await cases.restore(again, "kim", "it is not", 6)
    [[topic, payload]] = await postgres.tuples(
        "SELECT topic, payload FROM outbox WHERE key = %s",
        (UPLOAD_COMPLETED.key_of(new.upload),),
    )
    assert topic == "upload.completed"
    assert UPLOAD_COMPLETED.codec.decode(payload) == again


@pytest.mark.parametrize(
    "change", ["UPDATE moderation_decisions SET why = 'x'", "DELETE FROM moderation_decisions"]
)
async def test_nobody_changes_what_was_decided(postgres: PostgresPool, change: str) -> None:
    with pytest.raises(psycopg.errors.RaiseException):
        await postgres.run(change)

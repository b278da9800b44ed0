"""The filter of known photos: never wrong where it says no, rebuilt from the log, kept on disk."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from domain.duplicates import Stored
from domain.errors import StoreAway
from domain.settings import Duplicates
from stores.bloom import KnownPhotos
from stores.memory.cassandra import MemoryRenditions
from tests.fresh import fresh_id, now_ms

HOW = Duplicates(expected_photos=2000, false_positive_rate=0.001)


def overwrite(folder: Path, data: bytes) -> None:
    for file in folder.glob("*.bloom"):
        file.write_bytes(data)


async def add(renditions: MemoryRenditions, at: int) -> str:
    sha256 = secrets.token_hex(32)
    await renditions.add(sha256, "1", Stored(fresh_id("u_"), 1, 1, "", "", ()), at)
    return sha256


async def test_everything_may_be_known_until_it_is_built(tmp_path: Path) -> None:
    renditions = MemoryRenditions()
    known = KnownPhotos(renditions, HOW, tmp_path)
    mine, stranger = secrets.token_hex(32), secrets.token_hex(32)
    assert known.might_know(stranger)
    known.add(mine)
    await known.refresh()
    assert known.might_know(mine)
    assert not known.might_know(stranger)
    await known.close()


async def test_it_is_built_from_the_log_and_follows_it(tmp_path: Path) -> None:
    renditions = MemoryRenditions()
    old = [await add(renditions, now_ms() - 86_400_000) for _ in range(500)]
    known = KnownPhotos(renditions, HOW, tmp_path)
    await known.refresh()
    other = await add(renditions, now_ms())
    await known.refresh()
    assert all(known.might_know(each) for each in (*old, other))
    assert sum(known.might_know(secrets.token_hex(32)) for _ in range(1000)) < 20
    await known.close()


async def test_a_saved_filter_needs_only_what_came_since(tmp_path: Path) -> None:
    renditions = MemoryRenditions()
    old = await add(renditions, now_ms() - 86_400_000)
    first = KnownPhotos(renditions, HOW, tmp_path)
    await first.refresh()
    await first.close()
    renditions.log.clear()
    new = await add(renditions, now_ms())
    second = KnownPhotos(renditions, HOW, tmp_path)
    await second.refresh()
    assert second.might_know(old)
    assert second.might_know(new)
    await second.close()


async def test_a_broken_file_is_as_none(tmp_path: Path) -> None:
    renditions = MemoryRenditions()
    one = await add(renditions, now_ms())
    for broken in (b"", b"short", secrets.token_bytes(4000)):
        known = KnownPhotos(renditions, HOW, tmp_path)
        overwrite(tmp_path, broken)
        await known.refresh()
        assert known.might_know(one)
        assert not known.might_know(secrets.token_hex(32))
        await known.close()


async def test_an_index_that_is_away_is_asked_again(tmp_path: Path) -> None:
    class Away(MemoryRenditions):
        def added(self, since: int, until: int) -> AsyncIterator[list[str]]:
            raise StoreAway(f"cassandra {since} {until}")

    known = KnownPhotos(Away(), HOW, tmp_path)
    for _ in range(3):
        assert known.might_know(secrets.token_hex(32))
        await asyncio.sleep(0)
    await known.close()

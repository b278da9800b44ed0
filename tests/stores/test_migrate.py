"""Migrations: once each, safe to run again and side by side, and never silently different."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from domain.errors import StoreAway
from domain.settings import Settings
from stores import migrate
from tests.databases import new_database


@pytest.fixture
def empty_dsn(settings: Settings) -> Iterator[str]:
    """A new database on the real server."""
    with new_database(settings) as dsn:
        yield dsn


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A schema folder of this test's own."""
    monkeypatch.setattr(migrate, "FOLDER", tmp_path)
    (tmp_path / "postgres").mkdir()
    return tmp_path / "postgres"


async def test_a_second_run_applies_nothing(empty_dsn: str) -> None:
    assert await migrate.migrate_postgres(empty_dsn)
    assert await migrate.migrate_postgres(empty_dsn) == []


async def test_side_by_side_each_file_is_applied_once(empty_dsn: str) -> None:
    runs = await asyncio.gather(*(migrate.migrate_postgres(empty_dsn) for _ in range(4)))
    applied = [name for run in runs for name in run]
    assert len(applied) == len(set(applied)) == len(list(migrate.FOLDER.glob("postgres/*.sql")))


async def test_the_running_stack_is_up_to_date(settings: Settings) -> None:
    host, port = settings.address("cassandra").rsplit(":", 1)
    assert await migrate.migrate_postgres(settings.postgres_dsn) == []
    assert await migrate.migrate_cassandra(host, int(port)) == []
    assert await migrate.migrate_search(settings.url("search")) == []


async def test_a_file_that_fails_leaves_nothing(empty_dsn: str, folder: Path) -> None:
    (folder / "0001_good.sql").write_text("CREATE TABLE good (id int)")
    (folder / "0002_bad.sql").write_text("CREATE TABLE half (id int); SELECT nonsense")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        await migrate.migrate_postgres(empty_dsn)
    (folder / "0002_bad.sql").write_text("CREATE TABLE half (id int)")
    assert await migrate.migrate_postgres(empty_dsn) == ["postgres/0002_bad.sql"]


async def test_an_edited_file_is_refused(empty_dsn: str, folder: Path) -> None:
    (folder / "0001_a.sql").write_text("CREATE TABLE a (id int)")
    await migrate.migrate_postgres(empty_dsn)
    (folder / "0001_a.sql").write_text("CREATE TABLE a (id bigint)")
    with pytest.raises(migrate.SchemaChanged, match=r"0001_a\.sql"):
        await migrate.migrate_postgres(empty_dsn)


async def test_a_server_that_is_away_is_said_so() -> None:
    with pytest.raises(StoreAway):
        await migrate.migrate_postgres("postgresql://photofeed@127.0.0.1:1/none")
    with pytest.raises(StoreAway):
        await migrate.migrate_search("http://127.0.0.1:1")


def test_cql_is_split_into_its_statements() -> None:
    text = "-- a comment; with a semicolon\nCREATE TABLE a (\n  b text -- why\n);\n\nUSE x;\n"
    assert list(migrate.statements(text)) == ["CREATE TABLE a (\n  b text \n)", "USE x"]

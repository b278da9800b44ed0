"""Store schemas: numbered files under `schemas/`, each applied once, safe to run again.

PostgreSQL: one transaction a file, under an advisory lock, recorded in `schema_migrations`.
Cassandra: a file statement by statement (each says IF NOT EXISTS: there is no transaction around
them), recorded in the keyspace's own `schema_migrations`.
The uploads bucket: its lifecycle rule, written anew each time.
OpenSearch: `<number>_<noun>.json` is the body of the index `<noun>-<number>`, its alias included.
A file that was applied never changes: a change is a new file.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
from psycopg import AsyncConnection

import schemas
from domain.errors import StoreAway
from domain.secrets import Secrets
from domain.settings import Settings
from stores.cassandra_session import CassandraSession
from stores.postgres_errors import translated
from stores.s3_multipart import S3Multiparts

FOLDER = Path(schemas.__file__).parent
KEYSPACE = "photofeed"
_LOCK = 0x70686F746F  # any number that nothing else locks
_CREATE_KEYSPACE = f"""CREATE KEYSPACE IF NOT EXISTS {KEYSPACE}
    WITH replication = {{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}}"""
_CREATE_RECORD = """CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY, digest text, applied_at timestamp)"""


class SchemaChanged(Exception):
    """A schema file differs from what was applied under its name."""


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """One file of one store's folder."""

    name: str
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def run(settings: Settings) -> list[str]:
    """Bring every store's schema up to date; the names of the files that were applied.

    Raises StoreAway when a server doesn't answer, SchemaChanged when an applied file was edited.
    """
    return asyncio.run(_all(settings))


async def _all(settings: Settings) -> list[str]:
    host, port = settings.address("cassandra").rsplit(":", 1)
    return [
        *await migrate_postgres(settings.postgres_dsn),
        *await migrate_cassandra(host, int(port)),
        *await migrate_search(settings.url("search")),
        *await limit_uploads(settings),
    ]


async def migrate_postgres(dsn: str) -> list[str]:
    """Apply `postgres/*.sql`; what was new. Raises StoreAway, SchemaChanged."""
    applied = []
    with translated():
        connection = await AsyncConnection.connect(dsn, autocommit=True, connect_timeout=5)
        async with connection:
            await connection.execute("SET lock_timeout = '60s'")
            await connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            await connection.execute(
                """CREATE TABLE IF NOT EXISTS schema_migrations (
                       name text PRIMARY KEY, digest text NOT NULL,
                       applied_at timestamptz NOT NULL DEFAULT now())"""
            )
            cursor = await connection.execute("SELECT name, digest FROM schema_migrations")
            for file in _outstanding("postgres/*.sql", dict(await cursor.fetchall())):
                async with connection.transaction():
                    await connection.execute(file.text.encode())
                    await connection.execute(
                        "INSERT INTO schema_migrations VALUES (%s, %s)", (file.name, file.digest)
                    )
                applied.append(file.name)
    return applied


async def migrate_cassandra(host: str, port: int) -> list[str]:
    """Apply `cassandra/*.cql`; what was new. Raises StoreAway, Transient, SchemaChanged."""
    first = CassandraSession(host, port, "system")
    try:
        await first.execute(_CREATE_KEYSPACE)
    finally:
        await first.close()
    session = CassandraSession(host, port, KEYSPACE)
    applied = []
    try:
        await session.execute(_CREATE_RECORD)
        rows = await session.execute("SELECT name, digest FROM schema_migrations")
        for file in _outstanding("cassandra/*.cql", {row.name: row.digest for row in rows}):
            for statement in statements(file.text):
                await session.execute(statement)
            await session.execute(
                "INSERT INTO schema_migrations (name, digest, applied_at)"
                " VALUES (?, ?, toTimestamp(now()))",
                (file.name, file.digest),
            )
            applied.append(file.name)
    finally:
        await session.close()
    return applied


async def migrate_search(url: str) -> list[str]:
    """Make the index of every `search/*.json` that has none yet. Raises StoreAway."""
    applied = []
    try:
        async with httpx.AsyncClient(base_url=url, timeout=30.0) as client:
            for file in _outstanding("search/*.json", {}):
                number, noun = Path(file.name).stem.split("_", 1)
                index = f"/{noun}-{number}"
                if (await client.head(index)).status_code == httpx.codes.OK:
                    continue
                answer = await client.put(
                    index, content=file.text, headers={"Content-Type": "application/json"}
                )
                if "resource_already_exists" not in answer.text:
                    answer.raise_for_status()
                    applied.append(file.name)
    except httpx.HTTPError as error:
        raise StoreAway(f"search: {type(error).__name__}: {error}") from error
    return applied


async def limit_uploads(settings: Settings) -> list[str]:
    """Have the object store drop uploads that nobody completes; nothing is ever new. Twice is once.

    Raises StoreAway.
    """
    secrets = Secrets.load(settings.run_dir)
    store = S3Multiparts(
        settings.url("s3"), secrets.s3_access_key, secrets.s3_secret_key, settings.uploads
    )
    try:
        await store.let_expire(max(1, settings.uploads.multipart_ttl_s // 86_400))
    finally:
        await store.close()
    return []


def statements(text: str) -> Iterator[str]:
    """The statements of a CQL file whose comments start with `--` and whose texts hold no `;`."""
    bare = re.sub(r"--[^\n]*", "", text)
    return (part.strip() for part in bare.split(";") if part.strip())


def _outstanding(pattern: str, done: dict[str, str]) -> Iterator[SchemaFile]:
    """Files in the order of their numbers that `done` (name → digest) lacks."""
    for path in sorted(FOLDER.glob(pattern)):
        file = SchemaFile(str(path.relative_to(FOLDER)), path.read_text())
        if file.name not in done:
            yield file
        elif done[file.name] != file.digest:
            raise SchemaChanged(f"{file.name} was edited after it had been applied")

"""Fixtures every test may use. Tests run on real servers: the stack that the environment names.

`make test` brings up a stack and sets PHOTOFEED_RUN_DIR and PHOTOFEED_PORT_OFFSET; without them it
is the one of `make up`. Tests never clean up: they use fresh ids (tests/fresh.py), so that they
can't meet.
"""

import secrets
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import sql

from domain import settings as tree
from domain.secrets import Secrets
from domain.settings import Settings
from stores import migrate
from stores.connect import Stores
from stores.postgres_pool import PostgresPool


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The settings of the running stack."""
    return tree.load()


@pytest.fixture(scope="session")
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    """The adapters of the running stack, shared by all tests."""
    opened = Stores(settings, Secrets.load(settings.run_dir))
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
async def postgres_dsn(settings: Settings) -> AsyncIterator[str]:
    """A database of this run's own on the real server, migrated: no relay empties its outbox."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        dsn = settings.postgres_dsn.rpartition("/")[0] + f"/{name}"
        await migrate.migrate_postgres(dsn)
        yield dsn
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
async def postgres(postgres_dsn: str) -> AsyncIterator[PostgresPool]:
    """A pool on this run's own database."""
    pool = PostgresPool(postgres_dsn)
    yield pool
    await pool.close()

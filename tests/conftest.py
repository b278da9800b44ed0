"""Fixtures every test may use. Tests run on real servers: the stack that the environment names.

`make test` brings up a stack and sets PHOTOFEED_RUN_DIR and PHOTOFEED_PORT_OFFSET; without them it
is the one of `make up`. Tests never clean up: they use fresh ids (tests/fresh.py), so that they
can't meet.
"""

from collections.abc import AsyncIterator

import pytest

from domain import settings as tree
from domain.secrets import Secrets
from domain.settings import Settings
from stores import migrate
from stores.connect import Stores
from stores.postgres_pool import PostgresPool
from tests.databases import new_database
from tests.redis_nodes import clustered

_LAST = "tests/e2e"
"""Kills servers: whoever held a connection would see it break."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what kills servers after everything else."""
    items.sort(key=lambda item: _LAST in item.path.as_posix())


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
async def cluster_stores(settings: Settings) -> AsyncIterator[Stores]:
    """The same adapters over a Redis Cluster of this run's own."""
    async with clustered(settings) as opened:
        yield opened


@pytest.fixture(scope="session", params=["stores", "cluster_stores"])
def any_stores(request: pytest.FixtureRequest) -> Stores:
    """Over one Redis, and over a cluster."""
    stores: Stores = request.getfixturevalue(request.param)
    return stores


@pytest.fixture(scope="session")
async def postgres_dsn(settings: Settings) -> AsyncIterator[str]:
    """A database of this run's own on the real server, migrated: no relay empties its outbox."""
    with new_database(settings) as dsn:
        await migrate.migrate_postgres(dsn)
        yield dsn


@pytest.fixture(scope="session")
async def postgres(postgres_dsn: str) -> AsyncIterator[PostgresPool]:
    """A pool on this run's own database."""
    pool = PostgresPool(postgres_dsn)
    yield pool
    await pool.close()

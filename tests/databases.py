"""Databases of a test's own on the real PostgreSQL."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from domain.settings import Settings


@contextmanager
def new_database(settings: Settings) -> Iterator[str]:
    """The URL of a new, empty database that is dropped at the end."""
    name = sql.Identifier(f"test_{secrets.token_hex(6)}")
    _execute(settings, sql.SQL("CREATE DATABASE {}").format(name))
    try:
        yield settings.postgres_dsn.rpartition("/")[0] + "/" + name.as_string().strip('"')
    finally:
        _drop(settings, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@retry(
    retry=retry_if_exception_type(InsufficientPrivilege),
    stop=stop_after_delay(30),
    wait=wait_fixed(0.2),
    reraise=True,
)
def _drop(settings: Settings, statement: sql.Composed) -> None:
    """An autovacuum that is at work there belongs to the superuser: it is waited for."""
    _execute(settings, statement)


def _execute(settings: Settings, statement: sql.Composed) -> None:
    """On a connection of its own: the server may have been killed and restarted in between."""
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        connection.execute(statement)

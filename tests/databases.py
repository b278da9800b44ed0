"""Databases of a test's own on the real PostgreSQL."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from domain.settings import Settings


@contextmanager
def new_database(settings: Settings) -> Iterator[str]:
    """The URL of a new, empty database that is dropped at the end."""
    name = sql.Identifier(f"test_{secrets.token_hex(6)}")
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            yield settings.postgres_dsn.rpartition("/")[0] + "/" + name.as_string().strip('"')
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

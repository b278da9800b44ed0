"""Stores for the length of one command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.secrets import Secrets
from domain.settings import Settings
from ops.errors import Refused
from stores.connect import Stores


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Stores]:
    """All stores of a stack, closed at the end. Raises Refused before the stack's first start."""
    try:
        secrets = Secrets.load(settings.run_dir)
    except FileNotFoundError:
        raise Refused("no stack was ever started here: photofeed up") from None
    stores = Stores(settings, secrets)
    try:
        yield stores
    finally:
        await stores.close()

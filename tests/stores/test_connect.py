"""Connecting before the first call."""

import pytest

from domain.errors import StoreAway
from domain.settings import Settings
from stores.connect import Stores

NOBODY_LISTENS = 9


def others(like: Stores, settings: Settings | None = None) -> Stores:
    """Stores of the same servers that have made nothing yet."""
    return Stores(settings or like.settings, like.secrets)


async def test_what_was_made_is_connected_and_nothing_else_is_made(stores: Stores) -> None:
    process = others(stores)
    assert all((process.users, process.photos, process.timelines, process.objects, process.events))
    names = set(vars(process))
    await process.connect()
    assert set(vars(process)) == names
    await process.close()


async def test_one_that_is_away_is_told_and_the_others_are_connected(stores: Stores) -> None:
    away = stores.settings.ports.model_copy(update={"postgres": NOBODY_LISTENS})
    process = others(stores, stores.settings.model_copy(update={"ports": away}))
    assert all((process.users, process.timelines))
    with pytest.raises(StoreAway, match="postgres"):
        await process.connect()
    assert not await process.timelines.exists("u_00000000000")
    await process.close()


async def test_nothing_made_is_nothing_to_connect(stores: Stores) -> None:
    await others(stores).connect()

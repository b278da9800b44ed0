"""The API in this process, over the real stores of the running stack."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from api.app import create_app
from domain.secrets import Secrets
from domain.settings import Limits, Settings
from stores.connect import Stores
from tests.api.world import World

ROOMY = Limits(
    uploads_per_user=10_000,
    unauthenticated_per_ip=10_000,
    registrations_per_ip=10_000,
    calls_per_user=100_000,
    calls_per_ip=100_000,
)


@pytest.fixture(scope="session")
def secrets(settings: Settings) -> Secrets:
    return Secrets.load(settings.run_dir)


@pytest.fixture(scope="session")
async def app(settings: Settings, secrets: Secrets, stores: Stores) -> AsyncIterator[FastAPI]:
    roomy = settings.model_copy(update={"limits": ROOMY})
    made = create_app(roomy, secrets, stores)
    await stores.ids.start()
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture(scope="session")
async def world(app: FastAPI, stores: Stores) -> AsyncIterator[World]:
    async with World(app, stores) as opened:
        yield opened

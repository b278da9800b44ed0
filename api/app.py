"""The API's root: settings and stores in, an ASGI application out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, cast

import structlog
from fastapi import Depends, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api import (
    accounts,
    comments,
    follows,
    hashtags,
    health,
    likes,
    notifications,
    openapi,
    own_posts,
    photos,
    posts,
    uploads,
    web_page,
    webhooks,
)
from api.auth import TokenBook
from api.deps import Deps, required
from api.feed import explain, hot_path, stream
from api.feed.direct import Direct
from api.feed.ladder import Ladder
from api.feed.reader import FeedReader
from api.feed.stream import FeedStreams
from api.front.admission import Admission
from api.front.envelope import Envelope
from api.front.idempotency import Idempotency
from api.front.limits import Limiter
from api.hydrator import Hydrator
from api.problems import HANDLED, handle
from api.resilience.breakers import Breakers
from domain.errors import Transient
from domain.secrets import Secrets
from domain.settings import Settings
from stores.connect import Stores

_START_PAUSE_S = 1.0
_PRIVATE = (
    follows,
    uploads,
    photos,
    posts,
    own_posts,
    explain,
    likes,
    comments,
    hashtags,
    notifications,
    webhooks,
)
_log = structlog.get_logger()


class Api(FastAPI):
    """The application. What every call goes through, and the hot path, come before the framework.

    Its own layers around each call cost as much as half a page of the feed.
    """

    _front: ASGIApp

    def before(self, deps: Deps) -> None:
        """Put them there, the outermost last."""
        front: ASGIApp = super().__call__
        front = hot_path.HotPath(Idempotency(front, deps), deps)
        front = Admission(front, deps)
        front = Envelope(front, unlimited=(hot_path.PATH, stream.PATH))
        if trusted := list(deps.settings.limits.trusted_proxies):
            front = cast("ASGIApp", ProxyHeadersMiddleware(cast("Any", front), trusted))
        self._front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, or the server's notices of start and end."""
        await self._front(scope, receive, send)


def create_app(settings: Settings, secrets: Secrets, stores: Stores) -> FastAPI:
    """The application. Who makes the stores closes them."""
    edge = settings.url("edge")
    breakers = Breakers(settings.degradation)
    hydrator = Hydrator(stores, edge, breakers)
    reader = FeedReader(stores, edge, settings.feed, breakers)
    feeds = _feeds(settings, stores, reader, hydrator, breakers)
    deps = Deps(
        settings=settings,
        stores=stores,
        tokens=TokenBook(settings.tokens, secrets.jwt_key),
        limits=Limiter(settings.limits, stores.call_counts, breakers["redis"]),
        breakers=breakers,
        feeds=feeds,
        streams=FeedStreams(feeds, settings.streams),
        hydrator=hydrator,
    )
    app = Api(
        title="photofeed",
        version="0.1.0",
        description="A photo-sharing feed: presigned uploads, follows, feeds, reactions.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=partial(_lifespan, deps),
    )
    app.before(deps)
    app.state.deps = deps
    for kind in (*HANDLED, Exception):
        app.add_exception_handler(kind, handle)
    app.include_router(accounts.public)
    app.include_router(health.router)
    app.include_router(accounts.router, dependencies=[Depends(required)])
    for module in _PRIVATE:
        app.include_router(module.router, dependencies=[Depends(required)])
    home, grid = hot_path.routes(deps)
    app.router.routes.insert(0, home)  # the hot one is found first
    app.router.routes.insert(1, stream.route(deps))
    app.router.routes.append(grid)  # behind /users/by-name/…, where somebody may be called "feed"
    openapi.render(app)
    web_page.serve(app, edge)
    app.openapi = partial(openapi.describe, app)  # type: ignore[method-assign] # FastAPI's documented way
    return app


def _feeds(
    settings: Settings, stores: Stores, usual: FeedReader, hydrator: Hydrator, breakers: Breakers
) -> Ladder:
    edge, feed, degradation = settings.url("edge"), settings.feed, settings.degradation
    replica = None
    if stores.replica is not None:
        replica = FeedReader(stores.replica, edge, feed, breakers.of_replica())
    direct = Direct(stores, hydrator, breakers, degradation)
    return Ladder((usual, replica), direct, breakers, degradation, stores.follow_cache)


@asynccontextmanager
async def _lifespan(deps: Deps, _: FastAPI) -> AsyncIterator[None]:
    """Lease a machine id, waiting for PostgreSQL if need be; until then nothing new is made."""
    starting = asyncio.create_task(_start_ids(deps))
    yield
    deps.streams.end()
    starting.cancel()
    with suppress(asyncio.CancelledError):
        await starting
    deps.passwords.close()
    await deps.feeds.close()


async def _start_ids(deps: Deps) -> None:
    while True:
        try:
            await deps.stores.ids.start()
        except Transient as error:
            _log.warning("api.waits_for_machine_id", error=str(error))
            await asyncio.sleep(_START_PAUSE_S)
        else:
            return

"""Alive, and ready: two questions. The second asks every dependency, side by side."""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from api.deps import Api, Deps
from api.resilience.breakers import State
from domain.errors import Transient, Unrecoverable

router = APIRouter(tags=["health"])

_PROBE_LIMIT_S = 1.5
_NO_USER, _NO_PHOTO = "u_00000000000", "ph_00000000000"
_NEEDED = frozenset({"ids", "postgres", "cassandra", "kafka"})
"""Without these nothing can be acknowledged; without the others answers are poorer."""


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Dependency(BaseModel):
    """Whether one server answers, and how fast."""

    state: Literal["up", "down"]
    latency_ms: float
    needed: bool
    breaker: State | None = None
    """Whether this process asks it for feeds: `closed` as usual, `open` not, `half_open` once."""


class Readiness(BaseModel):
    """`degraded` still answers: something is away that isn't needed."""

    status: Literal["ready", "degraded", "unready"]
    dependencies: Mapping[str, Dependency]


@router.get("/health/live")
async def live() -> Alive:
    """Whether the process should go on living; asks nobody else."""
    return Alive()


@router.get("/health/ready", responses={503: {"model": Readiness}})
async def ready(api: Api, response: Response) -> Readiness:
    """Whether calls should be sent here: each dependency's state; 503 when a needed one is away."""
    probes = _probes(api)
    answers = await asyncio.gather(*(_ask(name, probe) for name, probe in probes.items()))
    found = dict(zip(probes, answers, strict=True))
    for name, state in api.breakers.states.items():
        if name in found:
            found[name].breaker = state
    down = {name for name, dependency in found.items() if dependency.state == "down"}
    if down & _NEEDED:
        response.status_code = 503
        return Readiness(status="unready", dependencies=found)
    return Readiness(status="degraded" if down else "ready", dependencies=found)


def _probes(deps: Deps) -> dict[str, Awaitable[object]]:
    """A small real question to each dependency."""
    stores = deps.stores
    probes: dict[str, Awaitable[object]] = {
        "ids": _next_id(deps),
        "postgres": stores.users.get(_NO_USER),
        "cassandra": stores.photos.get(_NO_PHOTO),
        "kafka": stores.events.ping(),
        "redis": stores.post_cache.get([_NO_PHOTO]),
        "search": stores.search_index.by_tag("health", None, 1),
        "s3": stores.objects.head(deps.settings.uploads.media_bucket, "health"),
    }
    if stores.replica is not None:
        probes["replica"] = stores.replica.post_cache.get([_NO_PHOTO])
    return probes


async def _next_id(deps: Deps) -> str:
    return deps.stores.ids.next_id()


async def _ask(name: str, probe: Awaitable[object]) -> Dependency:
    started = time.perf_counter()
    state: Literal["up", "down"] = "up"
    try:
        await asyncio.wait_for(probe, _PROBE_LIMIT_S)
    except (Transient, Unrecoverable, TimeoutError):
        state = "down"
    latency_ms = round((time.perf_counter() - started) * 1000, 1)
    return Dependency(state=state, latency_ms=latency_ms, needed=name in _NEEDED)

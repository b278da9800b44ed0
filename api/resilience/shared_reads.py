"""Single flight: many readers who miss the same thing wait for one read of it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

from api.resilience.best_effort import BestEffort

T = TypeVar("T")
Read = Callable[[list[str], BestEffort], Awaitable[Mapping[str, T]]]


class SharedReads(Generic[T]):
    """Reads by key; what is being read already isn't read again.

    A read goes on when who began it has gone, because others may wait. What it couldn't reach is
    held against every answer that it served.
    """

    def __init__(self, read: Read[T], effort: Callable[[], BestEffort]) -> None:
        self._read = read
        self._effort = effort
        self._flights: dict[str, asyncio.Task[tuple[Mapping[str, T], set[str]]]] = {}

    async def get(self, keys: Collection[str], effort: BestEffort) -> dict[str, T]:
        """What is found of these; `effort` learns which stores were away."""
        if not keys:
            return {}
        if new := [key for key in keys if key not in self._flights]:
            flight = asyncio.create_task(self._fly(new), name="shared read")
            self._flights.update(dict.fromkeys(new, flight))
            flight.add_done_callback(lambda _: self._land(new))
        flights = {self._flights[key] for key in keys}
        landed = await asyncio.gather(*map(asyncio.shield, flights))
        found: dict[str, T] = {}
        for items, away in landed:
            found.update(items)
            effort.away |= away
        return {key: found[key] for key in keys if key in found}

    async def _fly(self, keys: list[str]) -> tuple[Mapping[str, T], set[str]]:
        effort = self._effort()
        return await self._read(keys, effort), effort.away

    def _land(self, keys: list[str]) -> None:
        for key in keys:
            del self._flights[key]

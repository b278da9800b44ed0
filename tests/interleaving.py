"""Runs actors so that every call of a store is a step, in whatever order the test chooses."""

import asyncio
import inspect
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")

_SETTLE = 12  # turns of the loop after which every actor waits at its next step


class Interleaving:
    """A gate before every store call; chance picks which of the waiting calls goes on.

    Each run has its own mood, from an even choice to letting one actor go on for long: bugs that
    need one call held up while another actor does ten steps are as likely as those of a tight race.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._patience = chance.choice([0.0, 0.5, 0.9])
        self._waiting: list[asyncio.Future[None]] = []
        self._open = True

    def stepped(self, store: T) -> T:
        """The store, each of whose async methods waits for its turn."""
        return cast("T", Stepped(store, self._gate))

    async def run(self, *actors: Coroutine[Any, Any, Any]) -> None:
        """Run the actors to their end; afterwards calls pass freely."""
        self._open = False
        tasks = [asyncio.create_task(actor) for actor in actors]
        while not all(task.done() for task in tasks):
            for _ in range(_SETTLE):
                await asyncio.sleep(0)
            if self._waiting:
                self._waiting.pop(self._choose()).set_result(None)
        self._open = True
        for waiting in self._waiting:
            waiting.set_result(None)
        for task in tasks:
            task.result()

    async def trips(self, actor: Coroutine[Any, Any, T]) -> tuple[T, int]:
        """Run one actor, letting on together what waits together; its result and how often."""
        self._open = False
        task = asyncio.create_task(actor)
        trips = 0
        while not task.done():
            for _ in range(_SETTLE):
                await asyncio.sleep(0)
            trips += bool(self._waiting)
            together, self._waiting = self._waiting, []
            for waiting in together:
                waiting.set_result(None)
        self._open = True
        return task.result(), trips

    def _choose(self) -> int:
        """The one that came last belongs to who went last."""
        last = len(self._waiting) - 1
        stay = self._chance.random() < self._patience
        return last if stay else self._chance.randint(0, last)

    async def _gate(self) -> None:
        if not self._open:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn


class Stepped:
    """A store before each of whose calls, and items, a gate is awaited."""

    def __init__(self, store: object, gate: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._store = store
        self._gate = gate

    def __getattr__(self, name: str) -> object:
        method = getattr(self._store, name)
        if inspect.isasyncgenfunction(method):

            async def items(*args: object) -> AsyncIterator[object]:
                await self._gate()
                async for item in method(*args):
                    yield item
                    await self._gate()

            return items
        if inspect.iscoroutinefunction(method):

            async def call(*args: object, **kwargs: object) -> object:
                await self._gate()
                return await method(*args, **kwargs)

            return call
        return method

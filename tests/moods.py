"""Twins that answer, fail or hang on command, all stores of one server together."""

import asyncio
import inspect
from typing import Any, Literal, TypeVar, cast

from domain.errors import StoreAway

T = TypeVar("T")
Mood = Literal["well", "refuses", "hangs"]


class Server:
    """A server that stores are on: what becomes of a call, and how many there were."""

    def __init__(self) -> None:
        self.mood: Mood = "well"
        self.calls = self.inside = self.most_inside = 0

    def forget_counts(self) -> None:
        self.calls = self.most_inside = 0

    def holding(self, store: T) -> T:
        """The store, on this server."""
        return cast("T", _Held(store, self))

    async def answer(self, call: Any) -> Any:
        """The call's answer, if there is one."""
        self.calls += 1
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            if self.mood == "refuses":
                raise StoreAway("gone fishing")
            if self.mood == "hangs":
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            return await call()
        finally:
            self.inside -= 1


class _Held:
    def __init__(self, store: object, server: Server) -> None:
        self._store = store
        self._server = server

    def __getattr__(self, name: str) -> object:
        method = getattr(self._store, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*args: object, **kwargs: object) -> object:
            return await self._server.answer(lambda: method(*args, **kwargs))

        return call

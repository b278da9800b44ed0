"""Reading on while a store is away: the answer gets poorer and says so, it never fails."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from domain.errors import Transient

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D")

STORE_LIMIT_S = 2.0


class BestEffort:
    """One answer's dealings with its stores: who failed once isn't asked again."""

    def __init__(self) -> None:
        self.away: set[str] = set()

    @property
    def whole(self) -> bool:
        """Whether everything that was asked was answered."""
        return not self.away

    def ask(
        self, store: str, default: D, call: Callable[P, Awaitable[T]]
    ) -> Callable[P, Awaitable[T | D]]:
        """`call`, giving `default` when the store fails, or doesn't answer within the limit."""

        async def asked(*args: P.args, **kwargs: P.kwargs) -> T | D:
            if store in self.away:
                return default
            try:
                async with asyncio.timeout(STORE_LIMIT_S):
                    return await call(*args, **kwargs)
            except (Transient, TimeoutError):
                self.away.add(store)
                return default

        return asked

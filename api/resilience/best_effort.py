"""Reading on while a store is away: the answer gets poorer and says so, it never fails."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import ParamSpec, TypeVar

from api.resilience.breakers import Breakers
from domain.errors import Transient

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D")


class BestEffort:
    """One answer's dealings with its stores: who failed once isn't asked again."""

    def __init__(self, breakers: Breakers) -> None:
        self.away: set[str] = set()
        self._breakers = breakers

    @property
    def whole(self) -> bool:
        """Whether everything that was asked was answered."""
        return not self.away

    def ask(
        self, store: str, default: D, call: Callable[P, Awaitable[T]]
    ) -> Callable[P, Awaitable[T | D]]:
        """`call`, giving `default` when the store fails, is late, or isn't asked for a while."""
        return partial(self._asked, store, default, call)

    async def _asked(
        self,
        store: str,
        default: D,
        call: Callable[P, Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T | D:
        if store in self.away:
            return default
        try:
            return await self._breakers[store].run(call, *args, **kwargs)
        except Transient:
            self.away.add(store)
            return default

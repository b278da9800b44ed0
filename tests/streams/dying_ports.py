"""Ports that kill their process at a call of one's choice."""

from collections.abc import Awaitable, Callable
from typing import Any


class Killed(BaseException):
    """The process ends here: nothing catches it."""


class Dying:
    """A port whose `at`-th call, counted over all ports, kills the process before or after it."""

    def __init__(self, port: object, count: list[int], at: int, *, after: bool) -> None:
        self._port, self._count, self._at, self._after = port, count, at, after

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._port, name)

        async def call(*args: Any, **more: Any) -> Any:
            self._count[0] += 1
            dies = self._count[0] == self._at
            if dies and not self._after:
                raise Killed
            answer = await method(*args, **more)
            if dies:
                raise Killed
            return answer

        return call

"""Time limits for many short waits, watched by one timer.

A timer of its own for each wait costs a read more than the rest of asking a store.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _Wait:
    __slots__ = ("late", "task", "until")

    def __init__(self, task: "asyncio.Task[object]", until: float) -> None:
        self.task: asyncio.Task[object] | None = task
        self.until = until
        self.late = False


class Deadlines:
    """Limits of one length, so that the first to begin is the first to end.

    The semantics are `asyncio.timeout`'s: who is late is cancelled, and the cancellation becomes
    a TimeoutError unless somebody else cancelled the task as well.
    """

    def __init__(self) -> None:
        self._row: deque[_Wait] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(
        self, limit_s: float, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The call's answer. Raises TimeoutError when it takes longer than the limit."""
        loop = self._loop  # to ask which loop runs is a system call
        task = None if loop is None else asyncio.current_task(loop)
        if loop is None or task is None:
            loop = self._loop = asyncio.get_running_loop()
            task = asyncio.current_task(loop)
        assert task is not None, "runs in a coroutine"  # noqa: S101 - for the type checker
        wait, cancelling = _Wait(task, loop.time() + limit_s), task.cancelling()
        self._row.append(wait)
        if self._alarm is None:
            self._alarm = loop.call_at(wait.until, self._look, loop)
        try:
            return await call(*args, **kwargs)
        except asyncio.CancelledError as error:
            if wait.late and task.uncancel() <= cancelling:
                raise TimeoutError from error
            raise
        finally:
            wait.task = None
            while self._row and self._row[0].task is None:
                self._row.popleft()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel who is late; look again when the next may be."""
        self._alarm = None
        now = loop.time()
        for wait in self._row:
            if wait.task is None or wait.late:
                continue
            if wait.until > now:
                self._alarm = loop.call_at(wait.until, self._look, loop)
                return
            wait.late = True
            wait.task.cancel()

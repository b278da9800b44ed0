"""The Cassandra session of one process: prepared statements, awaited, with the project's errors.

The driver has its own event loop in a thread; its callbacks come back by call_soon_threadsafe.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from cassandra import (
    ConsistencyLevel,
    DriverException,
    OperationTimedOut,
    RequestExecutionException,
    Unavailable,
    protocol,
)
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.policies import (
    ConstantReconnectionPolicy,
    DCAwareRoundRobinPolicy,
    TokenAwarePolicy,
)

from domain.errors import StoreAway, Transient

_CONNECT_S = 2.0
_REQUEST_S = 12.0
"""Longer than the node's own 10 s: past it the node doesn't answer at all."""
_WHOLE_S = 30.0
"""Connecting, preparing and all pages together."""
_RECONNECT_S = 0.5
_SIDE_BY_SIDE = 128
_KEYS = 25

_AWAY = (NoHostAvailable, OperationTimedOut, Unavailable, ConnectionException, TimeoutError)
_PASSING = (RequestExecutionException, protocol.RequestExecutionException, protocol.ServerError)

Row = Any
"""The driver's named tuple: one attribute a column."""


class CassandraSession:
    """Connects at the first call, and again by itself when the node comes back.

    Reads and writes are LOCAL_QUORUM, lightweight transactions LOCAL_SERIAL. Raises StoreAway when
    no node answers (the outcome of a write is then unknown) and Transient when one answered that
    it couldn't; whatever else goes wrong is a mistake in the program and comes as it is.
    """

    def __init__(self, host: str, port: int, keyspace: str = "photofeed") -> None:
        self._host = host
        self._port = port
        self._keyspace = keyspace
        self._session: asyncio.Task[Any] | None = None
        self._prepared: dict[str, asyncio.Task[Any]] = {}

    async def execute(self, query: str, params: Sequence[object] = ()) -> list[Row]:
        """All rows of one statement with `?` for each of `params`."""
        try:
            async with asyncio.timeout(_WHOLE_S):
                session = await self._connected()
                statement = await self._statement(session, query)
                return await _answer(session, statement.bind(params))
        except _AWAY as error:
            raise StoreAway(f"cassandra: {_told(error)}") from error
        except _PASSING as error:
            raise Transient(f"cassandra: {_told(error)}") from error

    async def execute_many(self, query: str, many: Iterable[Sequence[object]]) -> list[list[Row]]:
        """The rows of one statement for each of `many` parameter lists, side by side, in order."""
        gate = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def one(params: Sequence[object]) -> list[Row]:
            async with gate:
                return await self.execute(query, params)

        return await asyncio.gather(*(one(params) for params in many))

    async def select_in(
        self, query: str, keys: Sequence[str] | Sequence[int], *rest: object
    ) -> list[Row]:
        """The rows of a statement `… IN ? …` for all of `keys`, in no order; then `rest` is bound.

        A few keys a call cost a fifteenth of the processor time of one key a call, and still
        spread over the nodes.
        """
        several = (keys[start : start + _KEYS] for start in range(0, len(keys), _KEYS))
        answers = await self.execute_many(query, ((list(part), *rest) for part in several))
        return [row for rows in answers for row in rows]

    async def close(self) -> None:
        """Close all connections; twice is once."""
        task, self._session = self._session, None
        self._prepared.clear()
        if task is not None:
            with suppress(*_AWAY, DriverException):
                session = await task
                await asyncio.to_thread(session.cluster.shutdown)

    async def _connected(self) -> Any:  # noqa: ANN401 - the driver ships no types
        self._session = _running(self._session) or _in_thread(self._connect)
        return await asyncio.shield(self._session)

    async def _statement(self, session: Any, query: str) -> Any:  # noqa: ANN401 - as above
        prepare = partial(session.prepare, query)
        task = _running(self._prepared.get(query)) or _in_thread(prepare)
        self._prepared[query] = task
        return await asyncio.shield(task)

    def _connect(self) -> Any:  # noqa: ANN401 - as above
        profile = ExecutionProfile(
            load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy()),
            consistency_level=ConsistencyLevel.LOCAL_QUORUM,
            serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
            request_timeout=_REQUEST_S,
        )
        cluster = Cluster(
            [self._host],
            port=self._port,
            protocol_version=5,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            # A node that was killed is back in seconds: ask often, and never give up.
            reconnection_policy=ConstantReconnectionPolicy(_RECONNECT_S, max_attempts=None),
            connect_timeout=_CONNECT_S,
            control_connection_timeout=_CONNECT_S,
            idle_heartbeat_interval=5,
            idle_heartbeat_timeout=5,
        )
        try:
            return cluster.connect(self._keyspace)
        except BaseException:
            cluster.shutdown()
            raise


def _running(task: asyncio.Task[Any] | None) -> asyncio.Task[Any] | None:
    """The task unless it has failed, and must be started again."""
    failed = task and task.done() and (task.cancelled() or task.exception())
    return None if failed else task


def _in_thread(work: Callable[[], Any]) -> asyncio.Task[Any]:
    """A task that all who wait share: one's cancellation is not the others'."""
    return asyncio.create_task(asyncio.to_thread(work))


def _answer(session: Any, statement: Any) -> asyncio.Future[list[Row]]:  # noqa: ANN401 - as above
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Row]] = loop.create_future()
    rows: list[Row] = []
    response = session.execute_async(statement)

    def settle(how: Callable[[Any], None], value: object) -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
            loop.call_soon_threadsafe(lambda: None if answer.done() else how(value))

    def page(part: list[Row] | None) -> None:
        rows.extend(part or ())
        if response.has_more_pages:
            response.start_fetching_next_page()
        else:
            settle(answer.set_result, rows)

    response.add_callbacks(page, partial(settle, answer.set_exception))
    return answer


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"

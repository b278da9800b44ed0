"""Circuit breakers, one a store and process: who doesn't answer isn't waited for by every reader.

After some time-outs in a row a store isn't asked any more (open). A while later one call at a time
finds out whether it answers again (half open); the first that it answers closes the breaker. See
docs/decisions/0017.
"""

import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from copy import copy
from enum import StrEnum
from typing import ParamSpec, TypeVar

import structlog
from circuitbreaker import CircuitBreaker

from api import metrics
from api.resilience.deadlines import Deadlines
from domain.errors import StoreAway
from domain.settings import Degradation

P = ParamSpec("P")
T = TypeVar("T")

STORES = ("redis", "replica", "cassandra", "postgres", "search")
STORE_LIMIT_S = 2.0
PROBE_LIMIT_S = 0.5
"""What the reader who finds out pays at most; a store that is back answers in milliseconds."""

_JITTER = 0.25  # of the pause, so that many processes don't knock together
_log = structlog.get_logger()


class State(StrEnum):
    """What becomes of a call: made; made by one at a time; not made."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


_LEVELS = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


class Breaker:
    """Guards the calls to one store.

    A call counts for the period between two changes in which it began: an old time-out doesn't
    open what has just been closed.
    """

    def __init__(self, store: str, settings: Degradation) -> None:
        self._store = store
        self._circuit = CircuitBreaker(
            failure_threshold=settings.failures,
            recovery_timeout=settings.pause_s * random.uniform(1 - _JITTER, 1 + _JITTER),  # noqa: S311 - spreads load, guards nothing
            expected_exception=StoreAway,
            name=store,
        )
        self._deadlines: defaultdict[float, Deadlines] = defaultdict(Deadlines)
        self._period = 0
        self._probing = False

    @property
    def state(self) -> State:
        """What would become of a call now."""
        return State(self._circuit.state)

    async def run(self, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """The call's answer. Raises StoreAway: it came too late, failed, or wasn't asked for.

        Any other exception passes, and says nothing about the store.
        """
        limit_s = STORE_LIMIT_S if self._circuit.state == State.CLOSED else self._probe()
        period = self._period
        try:
            answer = await self._deadlines[limit_s].run(limit_s, call, *args, **kwargs)
        except (StoreAway, TimeoutError) as error:
            self._failed(period)
            raise StoreAway(f"{self._store}: {str(error) or 'no answer in time'}") from error
        except BaseException:
            self._end_probe(period)
            raise
        if self._circuit.failure_count and period == self._period:
            self._succeeded()
        return answer

    def _probe(self) -> float:
        """Become the one who finds out; the seconds it may take. Raises StoreAway: not now."""
        if self._circuit.state == State.OPEN or self._probing:
            raise StoreAway(f"{self._store}: not asked while it is away")
        self._probing = True
        self._tell(State.HALF_OPEN)
        return PROBE_LIMIT_S

    def _end_probe(self, period: int) -> None:
        if period == self._period:
            self._probing = False

    def _failed(self, period: int) -> None:
        if period != self._period:
            return
        with suppress(StoreAway), self._circuit:  # the library counts what leaves its block
            raise StoreAway(self._store)
        if self._circuit.state == State.OPEN:
            self._turn(State.OPEN)
            metrics.BREAKER_OPENED.labels(self._store).inc()
            _log.warning("store.not_asked", store=self._store)

    def _succeeded(self) -> None:
        was_open = self._circuit.state != State.CLOSED
        self._circuit.reset()
        if was_open:
            self._turn(State.CLOSED)
            _log.info("store.asked_again", store=self._store)

    def _turn(self, state: State) -> None:
        self._period += 1
        self._probing = False
        self._tell(state)

    def _tell(self, state: State) -> None:
        metrics.BREAKER_STATE.labels(self._store).set(_LEVELS[state])


class Breakers:
    """The breakers of one process."""

    def __init__(self, settings: Degradation) -> None:
        self._breakers = {store: Breaker(store, settings) for store in STORES}

    def __getitem__(self, store: str) -> Breaker:
        """The one of this store."""
        return self._breakers[store]

    def of_replica(self) -> "Breakers":
        """The same, but what is asked of the cache is asked of its replica."""
        view = copy(self)
        view._breakers = self._breakers | {"redis": self._breakers["replica"]}  # noqa: SLF001 - its own kind
        return view

    @property
    def states(self) -> Mapping[str, State]:
        """By store."""
        return {store: breaker.state for store, breaker in self._breakers.items()}

"""When dead letters are no longer single events but a fault of the stage itself (I7)."""

from collections import deque

WINDOW_MS = 60_000
ENOUGH = 100
SHARE = 0.5
EXIT_CODE = 86
"""Of a worker that stopped for a flood: the supervisor leaves it stopped, until `photofeed up`."""


class Flooded(Exception):
    """More dead letters than single bad events explain: the stage must stop and alert."""


class Flood:
    """Counts the last minute's events; more than 100 dead ones and more than half is a flood."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, bool]] = deque()
        self._dead = 0

    def count(self, now_ms: int, *, dead: bool) -> None:
        """One more event at this time. Raises Flooded when it makes a flood."""
        self._seen.append((now_ms, dead))
        self._dead += dead
        while self._seen[0][0] <= now_ms - WINDOW_MS:
            self._dead -= self._seen.popleft()[1]
        if dead and self._dead > ENOUGH and self._dead > SHARE * len(self._seen):
            raise Flooded(
                f"{self._dead} of the last minute's {len(self._seen)} events can't be handled"
            )

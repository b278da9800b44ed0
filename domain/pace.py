"""How fast background work may go, from what it does to the others. Pure.

Every look either halves the rate or adds a quarter to it. So it backs off at once and comes back in
about three looks a halving, wherever between one and thousands a second the bearable rate lies.
"""

from dataclasses import dataclass

_DOWN = 0.5
_UP = 1.25


@dataclass(frozen=True, slots=True)
class Load:
    """What a look saw: how far delivery is behind, and the slowest hundredth of durable reads."""

    lag_s: float
    read_p99_s: float


@dataclass(frozen=True, slots=True)
class Pace:
    """Units a second, between `least` and `most`; `lag_limit_s` and `read_limit_s` slow it down."""

    most: float
    least: float = 1.0
    lag_limit_s: float = 5.0
    read_limit_s: float = 0.2
    rate: float = 0.0

    @classmethod
    def start(cls, most: float) -> "Pace":
        """At half of the most, which may be anything above 0."""
        return cls(most=most, least=min(1.0, most), rate=most * _DOWN)

    def after(self, load: Load) -> "Pace":
        """The pace after a look."""
        busy = load.lag_s > self.lag_limit_s or load.read_p99_s > self.read_limit_s
        wanted = self.rate * (_DOWN if busy else _UP)
        rate = min(self.most, max(self.least, wanted))
        return Pace(self.most, self.least, self.lag_limit_s, self.read_limit_s, rate)


def p99(seconds: list[float]) -> float:
    """The value that a hundredth of them exceeds; 0 of none."""
    return sorted(seconds)[int(len(seconds) * 0.99)] if seconds else 0.0

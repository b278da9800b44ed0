"""Ids: 63-bit snowflakes spelled as eleven base62 characters that sort like the number.

Bits, from the top: 41 of milliseconds since EPOCH_MS, 10 of machine id, 12 of sequence (seed
section 9). An id names its kind by prefix: `ph_`, `u_`, `cm_`, `nt_`; event ids have none.
"""

from domain.errors import Transient

EPOCH_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
SEQUENCE_BITS = 12
MACHINE_BITS = 10
SEQUENCES = 1 << SEQUENCE_BITS
MAX_AHEAD_MS = 1000
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
WIDTH = 11


def compose(at_ms: int, machine_id: int, sequence: int) -> int:
    """The snowflake of a millisecond (Unix), a machine and a sequence. Raises ValueError."""
    since = at_ms - EPOCH_MS
    if not (0 <= since < 1 << 41 and 0 <= machine_id < 1 << MACHINE_BITS):
        raise ValueError(f"no snowflake for {at_ms} ms on machine {machine_id}")
    if not 0 <= sequence < SEQUENCES:
        raise ValueError(f"sequence {sequence} out of range")
    return (since << (MACHINE_BITS + SEQUENCE_BITS)) | (machine_id << SEQUENCE_BITS) | sequence


def spell(number: int) -> str:
    """Eleven base62 characters, most significant first; they sort like the number."""
    digits = []
    for _ in range(WIDTH):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def read(text: str) -> int:
    """The number an id spells, with or without its prefix. Raises ValueError."""
    body = text.rpartition("_")[2]
    if len(body) != WIDTH:
        raise ValueError(f"not an id: {text!r}")
    number = 0
    for digit in body:
        if digit not in _VALUES:
            raise ValueError(f"not an id: {text!r}")
        number = number * 62 + _VALUES[digit]
    if number >= 1 << 63:
        raise ValueError(f"not an id: {text!r}")
    return number


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` is `prefix` (`ph_`, `u_`, …) and a well-formed body."""
    if not text.startswith(prefix) or len(text) != len(prefix) + WIDTH:
        return False
    try:
        read(text)
    except ValueError:
        return False
    return True


def time_of(text: str) -> int:
    """When an id was made, Unix milliseconds."""
    return (read(text) >> (MACHINE_BITS + SEQUENCE_BITS)) + EPOCH_MS


def derived(event_id: str, step: str) -> str:
    """The id of the event a step makes of another: the same on every retry, sorted behind it."""
    return f"{event_id}.{step}"


class Snowflakes:
    """The ids of one machine: unique and increasing whatever the wall clock does.

    A clock that steps back a little is waited for: ids go on in the last millisecond, and in the
    next one when its 4,096 are used up. Further than MAX_AHEAD_MS ahead of the clock it refuses.
    """

    def __init__(self, machine_id: int, used_until: int) -> None:
        """`used_until` is the last millisecond in which this machine id may have been used."""
        self.machine_id = machine_id
        self.last_ms = used_until
        self._sequence = SEQUENCES - 1

    def next(self, now_ms: int, use_until: int) -> int:
        """The next snowflake at wall time `now_ms`, of a millisecond up to `use_until`.

        Raises Transient when that is not possible now.
        """
        ms, sequence = self.last_ms, self._sequence + 1
        if now_ms > ms or sequence == SEQUENCES:
            ms, sequence = max(now_ms, ms + 1), 0
        if ms > now_ms + MAX_AHEAD_MS:
            raise Transient(f"the clock is {ms - now_ms} ms behind the ids")
        if ms > use_until:
            raise Transient("the granted range of milliseconds is used up")
        number = compose(ms, self.machine_id, sequence)
        self.last_ms, self._sequence = ms, sequence
        return number

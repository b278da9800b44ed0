"""Ids that no other test or run has used, so that tests on one stack can't meet."""

import secrets
import time

from domain.ids import MACHINE_BITS, Snowflakes, spell

_flakes = Snowflakes(secrets.randbelow(1 << MACHINE_BITS), used_until=0)


def fresh_id(prefix: str = "") -> str:
    """A new id, greater than the ones before: `fresh_id("u_")`."""
    return prefix + spell(_flakes.next(now_ms(), use_until=1 << 62))


def now_ms() -> int:
    """Wall time, Unix milliseconds."""
    return time.time_ns() // 1_000_000

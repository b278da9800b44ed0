"""The decoder's processes as its tests look at them, and photographs for it."""

import contextlib
import os
from pathlib import Path

from ops.photos import photographs
from stores.decoder.pool import DecoderPool, PoolLimits

PATHS = {photo.name: path for photo, path in photographs().items()}
JPEG = PATHS["temple"].read_bytes()
PHONE = PATHS["pug_in_bed"].with_suffix(".heic").read_bytes()
HUGE = PATHS["ukulele"].with_suffix(".heic").read_bytes()


def pool_of(processes: int = 1, **limits: object) -> DecoderPool:
    return DecoderPool(PoolLimits(processes=processes, **limits))  # type: ignore[arg-type] # any of its fields


def children(pid: int) -> list[int]:
    """Direct children of a process."""
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, listing.read_text().split())
    return found


def command(pid: int) -> bytes:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def zygotes(pid: int) -> list[int]:
    return [child for child in children(pid) if b"stores.decoder.child" in command(child)]


def workers() -> list[int]:
    """Process ids of the decoders of this process."""
    return [worker for zygote in zygotes(os.getpid()) for worker in children(zygote)]


def runs(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False

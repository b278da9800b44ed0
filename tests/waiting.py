"""Waiting for what other tasks and processes do."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(holds: Callable[[], Awaitable[bool]], limit_s: float = 20.0) -> None:
    """Return as soon as `holds` does. Raises TimeoutError."""
    async with asyncio.timeout(limit_s):
        while not await holds():  # noqa: ASYNC110 - what we wait for sets no event of ours
            await asyncio.sleep(0.05)

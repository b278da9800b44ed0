"""What a worker does between its lanes and Faust, without a broker."""

import asyncio
from types import SimpleNamespace
from typing import Any

from streams.worker import Worker


async def test_no_offset_moves_before_the_changelogs_have_what_was_written() -> None:
    """A worker killed in between would have lost it: the event doesn't come again."""
    steps: list[str] = []

    async def flushed() -> None:
        await asyncio.sleep(0.01)
        steps.append("changelogs")

    worker: Any = SimpleNamespace(
        _tables=SimpleNamespace(flushed=flushed), _ack_in_order=steps.append
    )
    items: Any = ["first", "second"]
    await Worker.acknowledge(worker, items)
    assert steps == ["changelogs", "first", "second"]

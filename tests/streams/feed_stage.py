"""write_feeds on a topic of its own, slowed down so that it can be killed in the middle.

`python -m tests.streams.feed_stage NAME FOLDER`; every chunk it begins is noted in FOLDER.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.settings import load
from schemas.events import FanoutChunk
from stores.connect import Stores
from streams.runtime.stage import Emit, Stage
from streams.worker import run
from streams.write_feeds import WriteFeeds
from topics.topic import Topic

PARTITIONS = 1


@dataclass(frozen=True)
class ChunkTopic(Topic[Any]):
    """A topic of any name that is written with the chunks' schema."""

    @property
    def subject(self) -> str:
        """That of the chunks."""
        return "fanout.chunk-value"


class SlowWriter:
    """The stage's handler, with time to be killed in before and after it."""

    def __init__(self, stores: Stores, folder: Path) -> None:
        self._write = WriteFeeds(stores.follows, stores.timelines, stores.celebrities)
        self._begun = folder / "begun"

    async def __call__(self, event: FanoutChunk) -> Sequence[Emit]:
        """Note it, and linger before and after writing it: a kill may come on either side."""
        with self._begun.open("a") as file:
            file.write(f"{event.chunk_no}\n")
        await asyncio.sleep(1.0)
        await self._write(event)
        await asyncio.sleep(0.1)
        return ()


def feed_stage(name: str, folder: Path) -> Stage:
    """The stage under another name."""
    return Stage(
        name,
        reads=(
            ChunkTopic(f"{name}.chunk", FanoutChunk, "post_id:chunk_no", partitions=PARTITIONS),
        ),
        writes=(),
        make=lambda stores, _tables: SlowWriter(stores, folder),
    )


if __name__ == "__main__":
    run(feed_stage(sys.argv[1], Path(sys.argv[2])), load(), 0)

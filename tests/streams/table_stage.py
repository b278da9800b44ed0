"""`count_follows` as it is, on topics of its own and with its counts in a file, for fault tests.

`python -m tests.streams.table_stage NAME FOLDER`: group NAME reads NAME.created and NAME.deleted.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.settings import load
from schemas.events import FollowCreated, FollowDeleted
from stores.memory.postgres import MemoryCelebrities
from stores.memory.redis import MemoryFollowCache
from streams.count_follows import CountFollows
from streams.delivery import LiveThreshold
from streams.runtime.stage import Stage
from streams.worker import run
from topics.topic import Topic

PARTITIONS = 2
THRESHOLD = 10


@dataclass(frozen=True)
class FollowTopic(Topic[Any]):
    """A topic of any name that is written with a registered schema."""

    @property
    def subject(self) -> str:
        """That of the follows."""
        return "follow.created-value" if self.event is FollowCreated else "follow.deleted-value"


class FileCache(MemoryFollowCache):
    """Counts that outlive the process: what Redis is to the real stage."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        self._counts: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}

    async def put_follower_count(self, user_id: str, followers: int) -> None:
        """Keep the absolute count, durably."""
        self._counts[user_id] = followers
        draft = self._file.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(self._counts))
        draft.rename(self._file)


def table_stage(name: str, folder: Path) -> Stage:
    """The stage under another name."""
    return Stage(
        name,
        reads=(
            FollowTopic(f"{name}.created", FollowCreated, "followee_id", partitions=PARTITIONS),
            FollowTopic(f"{name}.deleted", FollowDeleted, "followee_id", partitions=PARTITIONS),
        ),
        writes=(),
        tables=("edges", "follower_counts", "celebrities"),
        make=lambda _stores, tables: CountFollows(
            tables,
            FileCache(folder / "counts.json"),
            MemoryCelebrities(),
            LiveThreshold(MemoryCelebrities(), THRESHOLD),
        ),
    )


if __name__ == "__main__":
    run(table_stage(sys.argv[1], Path(sys.argv[2])), load(), 0)

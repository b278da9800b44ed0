"""A stage whose handler does what its events say, run as a real worker by the fault tests.

`python -m tests.streams.toy_stage NAME FOLDER`: reads topic NAME (of LikeCreated), group `NAME`;
keeps a journal of effects in FOLDER; emits a LikeDeleted to `NAME.out` for each event.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import Reason, StoreAway, Transient, Unrecoverable
from domain.ids import derived
from domain.settings import load
from schemas.events import LikeCreated, LikeDeleted
from streams.runtime.stage import Emit, Stage
from streams.worker import run
from topics.topic import Topic


@dataclass(frozen=True)
class ToyTopic(Topic[Any]):
    """A topic of any name that is written with a registered schema."""

    @property
    def subject(self) -> str:
        """That of the likes."""
        return "like.created-value" if self.event is LikeCreated else "like.deleted-value"


class Toy:
    """`author_id` of the event says what goes wrong; the journal is the durable effect."""

    def __init__(self, folder: Path, out: Topic[Any]) -> None:
        self._folder = folder
        self._out = out

    async def __call__(self, event: LikeCreated) -> Sequence[Emit]:
        await asyncio.sleep(0.002)
        first = not (seen := self._folder / f"seen-{event.event_id}").exists()
        seen.touch()
        match event.author_id:
            case "crash_once" if first:
                raise ZeroDivisionError("unforeseen")
            case "away" if not (self._folder / "back").exists():
                raise StoreAway("the toy store is away")
            case "transient":
                raise Transient("the toy store hiccups")
            case "hopeless":
                raise Unrecoverable(Reason.UNKNOWN_POST, "no such post")
            case "slow":
                (self._folder / "in-hand").touch()
                await asyncio.sleep(1.0)
        with (self._folder / "journal").open("a") as journal:
            journal.write(f"{event.post_id} {event.version}\n")
        gone = LikeDeleted(
            event_id=derived(event.event_id, "toy"),
            occurred_at=event.occurred_at,
            version=event.version,
            post_id=event.post_id,
            user_id=event.user_id,
            author_id=event.author_id,
        )
        return [Emit(self._out, gone)]


def toy_stage(name: str, folder: Path) -> Stage:
    """The stage that reads topic `name`."""
    out = ToyTopic(f"{name}.out", LikeDeleted, "post_id", partitions=2)
    return Stage(
        name,
        reads=(ToyTopic(name, LikeCreated, "post_id", partitions=2),),
        writes=(out,),
        make=lambda _stores, _tables: Toy(folder, out),
    )


if __name__ == "__main__":
    run(toy_stage(sys.argv[1], Path(sys.argv[2])), load(), 0)

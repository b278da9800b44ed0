"""Real workers on the real broker: topics of their own, a process to start, kill and watch."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from domain.settings import ROOT, Settings
from schemas.events import Event
from stores.kafka_admin import KafkaAdmin
from stores.kafka_events import KafkaEventLog
from stores.kafka_reader import read
from streams.runtime.stage import Stage
from topics.plan import Spec
from topics.record import Record
from topics.topic import Topic

LIMIT_S = 60.0


def unique(prefix: str) -> str:
    """A name no other test or run has."""
    return f"{prefix}-{secrets.token_hex(5)}"


async def until(true: Callable[[], bool], limit_s: float = LIMIT_S) -> float:
    """Wait for a condition; how long it took (s). Fails after the limit."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < limit_s, "waited too long"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


class Rig:
    """A stage with its topics on the broker, and at most one worker process of it."""

    def __init__(
        self, settings: Settings, stage: Stage, folder: Path, command: Sequence[str]
    ) -> None:
        self.stage = stage
        self.folder = folder
        self._kafka = settings.address("kafka")
        self._log = KafkaEventLog(self._kafka)
        self._command = [sys.executable, "-m", *command]
        self._environment = os.environ | {
            "PHOTOFEED_RUN_DIR": str(folder),
            "PHOTOFEED_RETRIES__ROUND_DELAY_S": "0.3",
            "PHOTOFEED_RETRIES__BASE_S": "0.02",
        }
        self._environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "secrets.json").write_bytes((settings.run_dir / "secrets.json").read_bytes())

    def create_topics(self, *more: Topic[Any]) -> None:
        """Declare what the stage reads, writes and keeps."""
        changelogs = {raw.name: {"cleanup.policy": "compact"} for raw in self.stage.changelogs}
        counts = {t.name: t.partitions for t in (*self.stage.reads, *self.stage.writes, *more)}
        raw = (self.stage.retry, self.stage.dead_letters, *self.stage.changelogs)
        counts |= {each.name: each.partitions for each in raw}
        KafkaAdmin(self._kafka).create(
            Spec(name, count, 1, changelogs.get(name, {}), keyed=True)
            for name, count in counts.items()
        )

    def delete_topics(self) -> None:
        """Take them away again."""
        names = {topic.name for topic in (*self.stage.reads, *self.stage.writes)}
        raw = (self.stage.retry, self.stage.dead_letters, *self.stage.changelogs)
        KafkaAdmin(self._kafka).delete(sorted(names | {each.name for each in raw}))

    async def publish(self, topic: Topic[Any], events: Sequence[Event]) -> None:
        """Write events, in order within a key."""
        await asyncio.gather(*(self._log.publish(topic, event) for event in events))

    async def publish_raw(
        self, topic: str, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        """Write bytes."""
        await self._log.publish_raw(topic, key, value, headers, 1_780_000_000_123)

    def records(self, topic: str) -> list[Record]:
        """All records of a topic."""
        admin = KafkaAdmin(self._kafka)
        places = [(topic, n) for n in range(admin.partitions()[topic])]
        ends = admin.ends(places)
        return list(read(self._kafka, {place: (0, ends[place]) for place in places}))

    async def caught_up(self) -> None:
        """Wait until the group has committed everything it reads."""
        admin = KafkaAdmin(self._kafka)
        places = [(topic.name, n) for topic in self.stage.reads for n in range(topic.partitions)]
        ends = {place: end for place, end in admin.ends(places).items() if end}
        await until(lambda: ends.items() <= self.committed().items())

    def committed(self) -> dict[tuple[str, int], int]:
        """The group's offset of each partition that has one."""
        return KafkaAdmin(self._kafka).committed(self.stage.name)

    def start(self) -> None:
        """Start the worker."""
        self._process = subprocess.Popen(self._command, cwd=ROOT, env=self._environment)  # noqa: S603 - our own

    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Signal it."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self, limit_s: float = LIMIT_S) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._process is not None
        await until(lambda: not self.running(), limit_s)
        return self._process.wait()

    async def close(self) -> None:
        """Leave nothing running."""
        if self.running():
            self.send(signal.SIGKILL)
            await self.ended()
        await self._log.close()
        self.delete_topics()

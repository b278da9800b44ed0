"""A relay that dies by SIGKILL after Kafka has acknowledged its first batch, before it is deleted.

Run as `python -m tests.streams.dying_relay DSN BOOTSTRAP`.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from domain.entities import OutboxRow
from stores.kafka_events import KafkaEventLog
from stores.postgres_outbox import PostgresOutbox, Publish
from streams.relay import Relay


class DyingOutbox(PostgresOutbox):
    """Dies where it hurts most."""

    async def drain(self, publish: Publish, limit: int) -> int:
        async def publish_and_die(rows: Sequence[OutboxRow]) -> None:
            await publish(rows)
            os.kill(os.getpid(), signal.SIGKILL)

        return await super().drain(publish_and_die, limit)


async def _main(dsn: str, bootstrap: str) -> None:
    await Relay(DyingOutbox(dsn), KafkaEventLog(bootstrap), asyncio.Event()).run()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))

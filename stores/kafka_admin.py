"""Kafka's administration: topics, their overrides, consumer groups, offsets.

Blocking calls with a limit each: they are for operators' commands and the bring-up, never for a
stage or a request.
"""

import logging
import time
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_fixed

from domain.errors import StoreAway, Transient
from topics.plan import Change, Spec, State

LIMIT_S = 10.0
_AWAY = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT}  # noqa: SLF001 - the library's public constants are spelt so
QUIET = logging.getLogger("photofeed.kafka")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False  # the client prints a line per failed connect; our error says it once
_AGAIN = retry(
    retry=retry_if_exception(lambda error: type(error) is Transient),
    stop=stop_after_attempt(5),
    wait=wait_fixed(0.5),
    reraise=True,
)
"""Right after its creation a group's coordinator, and a partition's leader, refuse for a moment."""
Place = tuple[str, int]
"""A topic and one of its partitions."""


class KafkaAdmin:
    """One cluster, by its bootstrap address. Raises StoreAway when it doesn't answer."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._client = AdminClient(
            {"bootstrap.servers": bootstrap, "socket.timeout.ms": 10_000}, logger=QUIET
        )

    def brokers(self) -> int:
        """How many brokers there are."""
        return len(self._metadata().brokers)

    def partitions(self) -> dict[str, int]:
        """Every topic's partition count."""
        return {name: len(topic.partitions) for name, topic in self._metadata().topics.items()}

    def topics(self) -> dict[str, State]:
        """Every topic with its overrides."""
        found = self._metadata().topics
        overrides = self._overrides(found)
        return {
            name: State(
                name,
                len(topic.partitions),
                min(len(part.replicas) for part in topic.partitions.values()),
                overrides[name],
            )
            for name, topic in found.items()
        }

    def create(self, specs: Iterable[Spec]) -> None:
        """Make topics; one that exists by now is left to the next plan."""
        new = [NewTopic(s.name, s.partitions, s.replication, config=dict(s.configs)) for s in specs]
        if new:
            self._all(self._client.create_topics(new, operation_timeout=LIMIT_S), "exists")
            self._await({spec.name: spec.partitions for spec in specs})

    def change(self, changes: Iterable[Change]) -> None:
        """Set overrides and add partitions; twice is once."""
        todo = list(changes)
        resources = [_resource(change.topic, change.configs) for change in todo if change.configs]
        if resources:
            self._all(self._client.incremental_alter_configs(resources))
        grown = [
            NewPartitions(change.topic, change.partitions) for change in todo if change.partitions
        ]
        if grown:
            self._all(self._client.create_partitions(grown, operation_timeout=LIMIT_S))
            self._await({change.topic: change.partitions for change in todo if change.partitions})

    def delete(self, names: Iterable[str]) -> None:
        """Remove topics with all they hold."""
        self._all(self._client.delete_topics(list(names), operation_timeout=LIMIT_S))

    def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """The next offset to be written, per partition."""
        return self._offsets(list(places), OffsetSpec.latest())  # type: ignore[no-untyped-call]  # theirs has no types

    def starts(self, places: Iterable[Place]) -> dict[Place, int]:
        """The oldest offset still held, per partition."""
        return self._offsets(list(places), OffsetSpec.earliest())  # type: ignore[no-untyped-call]  # theirs has no types

    def at_time(self, places: Iterable[Place], time_ms: int) -> dict[Place, int]:
        """The first offset not older than a time, per partition; -1 where all are older."""
        return self._offsets(list(places), OffsetSpec.for_timestamp(time_ms))

    @_AGAIN
    def committed(self, group: str) -> dict[Place, int]:
        """What a group has committed; empty for a group nobody knows."""
        asked = self._client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        answer = self._one(asked[group])
        return {(p.topic, p.partition): p.offset for p in answer.topic_partitions if p.offset >= 0}

    def commit(self, group: str, offsets: Mapping[Place, int]) -> None:
        """Set a group's offsets; refused by Kafka while the group has members."""
        wanted = [TopicPartition(t, p, offset) for (t, p), offset in offsets.items()]
        asked = self._client.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, wanted)]
        )
        for part in self._one(asked[group]).topic_partitions:
            if part.error:
                raise Transient(f"kafka: {group} {part.topic}/{part.partition}: {part.error}")

    @_AGAIN
    def members(self, groups: Collection[str]) -> dict[str, int]:
        """How many members each group has."""
        asked = self._client.describe_consumer_groups(list(groups), request_timeout=LIMIT_S)
        return {group: len(self._one(future).members) for group, future in asked.items()}

    def _await(self, partitions: Mapping[str, int]) -> None:
        """Brokers learn of new topics and partitions a moment after the controller made them."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            known = self.partitions()
            if all(known.get(name, 0) >= count for name, count in partitions.items()):
                return
            if time.monotonic() > deadline:
                raise StoreAway(f"kafka at {self._bootstrap} doesn't show what was created")
            time.sleep(0.05)

    def _metadata(self) -> Any:  # noqa: ANN401 - confluent's classes have no types
        try:
            return self._client.list_topics(timeout=LIMIT_S)
        except KafkaException as error:
            raise self._away(error) from error

    def _overrides(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
        return {
            resource.name: {
                entry.name: entry.value
                for entry in self._one(future).values()
                if entry.source == own
            }
            for resource, future in self._client.describe_configs(
                resources, request_timeout=LIMIT_S
            ).items()
        }

    @_AGAIN
    def _offsets(self, places: Collection[Place], spec: OffsetSpec) -> dict[Place, int]:
        wanted = {TopicPartition(topic, partition): spec for topic, partition in places}
        if not wanted:
            return {}
        asked = self._client.list_offsets(wanted, request_timeout=LIMIT_S)
        return {(p.topic, p.partition): self._one(asked[p]).offset for p in asked}

    def _all(self, futures: Mapping[Any, Future[Any]], fine: str = "") -> None:
        for future in futures.values():
            self._one(future, fine)

    def _one(self, future: Future[Any], fine: str = "") -> Any:  # noqa: ANN401 - as above
        try:
            return future.result(LIMIT_S + 5)
        except KafkaException as error:
            if fine and fine in str(error):
                return None
            raise self._away(error) from error
        except TimeoutError as error:
            raise StoreAway(f"kafka at {self._bootstrap} took more than {LIMIT_S:.0f} s") from error

    def _away(self, error: KafkaException) -> Transient:
        reason = error.args[0]
        if reason.code() in _AWAY:
            return StoreAway(f"kafka doesn't answer at {self._bootstrap}")
        return Transient(f"kafka: {reason.str()}")


def _resource(topic: str, configs: Mapping[str, str]) -> ConfigResource:
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in configs.items()
    ]
    return ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)

"""What has to be done so that the cluster's topics are the declared ones: pure, no cluster needed.

A difference is sorted by who may mend it: `create` and `change` are what `apply` does, `refuse` is
what needs an operator's word (or can't be done at all), and `drift` is every deviation found on the
cluster, also those that `apply` leaves alone: topics and overrides that nobody declared.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from topics.topic import RawTopic, Topic

HOUR_MS = 3_600_000
MAX_REPLICATION = 3
EVENT_BYTES = 896 * 1024
"""Largest event: with 64 KiB of dead-letter headers it still passes librdkafka's 1,000,000."""
RAW_BYTES = 1024 * 1024
FOREIGN_PREFIX = "_"
"""Topics of Kafka itself and of tools beside it (`__consumer_offsets`, `_schemas`)."""
LEADER_SUFFIX = "-__assignor-__leader"
"""Faust's own empty topic by which it elects a leader, one a stage."""

Declared = Topic[Any] | RawTopic


@dataclass(frozen=True, slots=True)
class Spec:
    """A topic as it should be. `keyed`: the partition of a key matters to somebody."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]
    keyed: bool


@dataclass(frozen=True, slots=True)
class State:
    """A topic as it is; `configs` are the overrides set on the topic itself."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """Overrides to set on a topic, and its new partition count (0: as it is)."""

    topic: str
    configs: Mapping[str, str]
    partitions: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A change that `apply` won't make."""

    topic: str
    why: str


@dataclass(frozen=True, slots=True)
class Drift:
    """One deviation; None on the side that has nothing."""

    topic: str
    setting: str
    declared: str | None
    actual: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What `apply` would do, what it would refuse, and what was found."""

    create: tuple[Spec, ...] = ()
    change: tuple[Change, ...] = ()
    refuse: tuple[Refusal, ...] = ()
    drift: tuple[Drift, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.create or self.change or self.refuse or self.drift)


def spec_of(topic: Declared, brokers: int, *, keyed: bool = True) -> Spec:
    """The declaration as Kafka's terms, on a cluster of so many brokers."""
    replication = min(MAX_REPLICATION, brokers)
    return Spec(topic.name, topic.partitions, replication, configs_of(topic, replication), keyed)


def configs_of(topic: Declared, replication: int) -> dict[str, str]:
    """The overrides a topic gets.

    Kafka drops whole segments, so a record may outlive `retention.ms` by `segment.ms`. Both
    together, and an hour for the cleaner's rounds, stay within the declared hours.
    """
    raw = isinstance(topic, RawTopic)
    segment_ms = topic.retention_hours * HOUR_MS // 24
    kept_ms = topic.retention_hours * HOUR_MS - segment_ms - HOUR_MS
    configs = {
        "max.message.bytes": str(RAW_BYTES if raw else EVENT_BYTES),
        "min.insync.replicas": str(max(1, replication - 1)),
        "message.timestamp.after.max.ms": str(HOUR_MS),  # a future one would keep its segment
        "segment.ms": str(segment_ms),
    }
    if isinstance(topic, RawTopic) and topic.compacted:
        return configs | {
            "cleanup.policy": "compact",
            "max.compaction.lag.ms": str(min(kept_ms, 24 * HOUR_MS)),
            "delete.retention.ms": str(24 * HOUR_MS),
        }
    return configs | {"cleanup.policy": "delete", "retention.ms": str(kept_ms)}


def plan(
    declared: Iterable[Spec], actual: Mapping[str, State], *, allow_repartition: bool = False
) -> Plan:
    """Compare; `allow_repartition` lets a keyed topic grow, which moves its keys."""
    specs = {spec.name: spec for spec in declared}
    present = [(spec, actual[name]) for name, spec in specs.items() if name in actual]
    refusals = (_refusal(*pair, allow_repartition=allow_repartition) for pair in present)
    changes = (_change(*pair, allow_repartition=allow_repartition) for pair in present)
    unknown = sorted(name for name in actual.keys() - specs.keys() if not _foreign(name))
    return Plan(
        create=tuple(spec for name, spec in specs.items() if name not in actual),
        change=tuple(change for change in changes if change.configs or change.partitions),
        refuse=tuple(refusal for refusal in refusals if refusal),
        drift=(
            *(drift for pair in present for drift in _drift(*pair)),
            *(Drift(name, "topic", None, "exists") for name in unknown),
        ),
    )


def _foreign(name: str) -> bool:
    return name.startswith(FOREIGN_PREFIX) or name.endswith(LEADER_SUFFIX)


def _wanted(spec: Spec, state: State) -> dict[str, str]:
    """The overrides to have; the in-sync count follows the replicas there really are."""
    return {**spec.configs, "min.insync.replicas": str(max(1, state.replication - 1))}


def _change(spec: Spec, state: State, *, allow_repartition: bool) -> Change:
    configs = {k: v for k, v in _wanted(spec, state).items() if state.configs.get(k) != v}
    grows = spec.partitions > state.partitions and (allow_repartition or not spec.keyed)
    return Change(spec.name, configs, spec.partitions if grows else 0)


def _refusal(spec: Spec, state: State, *, allow_repartition: bool) -> Refusal | None:
    step = f"{state.partitions} → {spec.partitions} partitions"
    if spec.partitions < state.partitions:
        return Refusal(spec.name, f"{step}: Kafka can't take partitions away")
    if spec.partitions > state.partitions and spec.keyed and not allow_repartition:
        return Refusal(spec.name, f"{step}: keys would move; --allow-repartition to do it")
    return None


def _drift(spec: Spec, state: State) -> Iterable[Drift]:
    wanted = _wanted(spec, state)
    for setting in sorted(wanted.keys() | state.configs.keys()):
        if wanted.get(setting) != state.configs.get(setting):
            yield Drift(spec.name, setting, wanted.get(setting), state.configs.get(setting))
    for setting in ("partitions", "replication"):
        ours, theirs = getattr(spec, setting), getattr(state, setting)
        if ours != theirs:
            yield Drift(spec.name, setting, str(ours), str(theirs))

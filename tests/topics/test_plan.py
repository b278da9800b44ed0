"""Topics as declared and as found, compared without a cluster."""

from dataclasses import replace

import pytest

from topics.catalog import EVENT_TOPICS, POST_PUBLISHED
from topics.plan import HOUR_MS, Change, Declared, Drift, State, configs_of, plan, spec_of
from topics.topic import RawTopic, changelog_topic, dead_letter_topic, retry_topic

SPEC = spec_of(POST_PUBLISHED, brokers=1)
AS_DECLARED = State(SPEC.name, SPEC.partitions, SPEC.replication, SPEC.configs)
EVERY_KIND: tuple[Declared, ...] = (
    *EVENT_TOPICS,
    retry_topic("group", 8),
    dead_letter_topic("group"),
    changelog_topic("group", "table", 8),
)


def test_nothing_to_do_is_an_empty_plan() -> None:
    assert not plan([SPEC], {SPEC.name: AS_DECLARED})


def test_what_is_missing_is_created() -> None:
    assert plan([SPEC], {}).create == (SPEC,)


def test_a_changed_override_is_set_back_and_shown() -> None:
    configs = {**SPEC.configs, "retention.ms": "-1"}
    found = plan([SPEC], {SPEC.name: replace(AS_DECLARED, configs=configs)})
    wanted = SPEC.configs["retention.ms"]
    assert found.change == (Change(SPEC.name, {"retention.ms": wanted}),)
    assert found.drift == (Drift(SPEC.name, "retention.ms", wanted, "-1"),)


def test_a_missing_override_is_set() -> None:
    found = plan([SPEC], {SPEC.name: replace(AS_DECLARED, configs={})})
    assert found.change == (Change(SPEC.name, SPEC.configs),)


def test_an_override_nobody_declared_is_shown_and_left_alone() -> None:
    configs = {**SPEC.configs, "leader.replication.throttled.replicas": "*"}
    found = plan([SPEC], {SPEC.name: replace(AS_DECLARED, configs=configs)})
    assert not found.change
    assert [drift.setting for drift in found.drift] == ["leader.replication.throttled.replicas"]


def test_keys_are_not_moved_without_a_word() -> None:
    fewer = {SPEC.name: replace(AS_DECLARED, partitions=4)}
    refused = plan([SPEC], fewer)
    assert [refusal.topic for refusal in refused.refuse] == [SPEC.name]
    assert not refused.change
    allowed = plan([SPEC], fewer, allow_repartition=True)
    assert not allowed.refuse
    assert allowed.change == (Change(SPEC.name, {}, 8),)


def test_a_topic_without_meaningful_keys_just_grows() -> None:
    spec = spec_of(replace(dead_letter_topic("group"), partitions=2), 1, keyed=False)
    state = State(spec.name, 1, 1, spec.configs)
    assert plan([spec], {spec.name: state}).change == (Change(spec.name, {}, 2),)


def test_partitions_are_never_taken_away() -> None:
    more = {SPEC.name: replace(AS_DECLARED, partitions=9)}
    assert plan([SPEC], more, allow_repartition=True).refuse


def test_topics_nobody_declared_are_shown_but_not_those_of_kafka_and_faust() -> None:
    names = ("stray", "__consumer_offsets", "_schemas", "notify-__assignor-__leader")
    actual = {name: State(name, 1, 1, {}) for name in names}
    assert plan([], actual).drift == (Drift("stray", "topic", None, "exists"),)


def test_replication_follows_the_brokers_up_to_three() -> None:
    assert [spec_of(POST_PUBLISHED, brokers).replication for brokers in (1, 2, 3, 9)] == [
        1,
        2,
        3,
        3,
    ]
    assert spec_of(POST_PUBLISHED, 3).configs["min.insync.replicas"] == "2"


def test_the_in_sync_count_follows_the_replicas_there_are() -> None:
    """A cluster that grew doesn't lock producers out of topics made before."""
    grown = spec_of(POST_PUBLISHED, brokers=3)
    found = plan([grown], {SPEC.name: AS_DECLARED})
    assert not found.change
    assert [drift.setting for drift in found.drift] == ["replication"]


@pytest.mark.parametrize("topic", EVERY_KIND, ids=lambda topic: topic.name)
def test_personal_data_is_gone_within_a_week(topic: Declared) -> None:
    """A record may outlive its retention by one segment; both together stay within 168 hours."""
    configs = configs_of(topic, replication=1)
    week_ms = 168 * HOUR_MS
    if isinstance(topic, RawTopic) and topic.compacted:
        assert configs["cleanup.policy"] == "compact"
        assert int(configs["max.compaction.lag.ms"]) + int(configs["segment.ms"]) < week_ms
    else:
        assert configs["cleanup.policy"] == "delete"
        assert int(configs["retention.ms"]) + int(configs["segment.ms"]) < week_ms


def test_a_dead_letter_has_room_for_its_headers() -> None:
    """The largest event plus 64 KiB of headers passes librdkafka's limit and the topic's."""
    event = int(configs_of(POST_PUBLISHED, 1)["max.message.bytes"])
    dead = int(configs_of(dead_letter_topic("group"), 1)["max.message.bytes"])
    assert event + 64 * 1024 <= min(dead, 1_000_000)

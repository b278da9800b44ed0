"""`photofeed lag`: numbers from a real cluster, and states judged from two looks."""

import time
from collections.abc import Callable

import pytest

from domain.settings import Settings
from ops.lag import Observer
from ops.lag_state import STALL_S, WARN_S, Look, PartitionLag, State, Trend, judge, trend
from stores.connect import Stores
from stores.kafka_admin import KafkaAdmin
from streams.topology import TOPOLOGY
from tests.fresh import fresh_id, now_ms
from tests.ops.cli import photofeed


def look(
    committed: int | None, end: int, age_s: float = 0.0, members: int = 1, patience_s: float = 0.0
) -> Look:
    waiting = end - (committed or 0)
    return Look(members, (PartitionLag(0, committed, end, max(0, waiting), age_s),), patience_s)


@pytest.mark.parametrize(
    ("before", "now", "state"),
    [
        pytest.param(look(5, 5), look(5, 5), State.OK, id="caught up"),
        pytest.param(look(None, 0), look(None, 0), State.OK, id="nothing was ever written"),
        pytest.param(look(5, 9, 1), look(5, 9, 2), State.OK, id="waits, but not for long"),
        pytest.param(look(5, 900), look(90, 900, WARN_S + 1), State.WARN, id="moves, but late"),
        pytest.param(look(5, 9), look(5, 9, STALL_S + 1), State.STALL, id="stuck"),
        pytest.param(look(None, 9), look(None, 9, STALL_S + 1), State.STALL, id="never began"),
        pytest.param(look(5, 9), look(5, 9, WARN_S + 1), State.WARN, id="stuck, not for long yet"),
        pytest.param(look(5, 9), look(6, 9, STALL_S + 1), State.WARN, id="late, but moves"),
        pytest.param(look(5, 5), look(5, 5, members=0), State.STOP, id="nobody reads"),
        pytest.param(Look(1, ()), Look(1, ()), State.STOP, id="no topic"),
        pytest.param(look(5, 9), look(3, 9), State.REWIND, id="went back"),
        pytest.param(look(5, 9), look(9, 5), State.REWIND, id="beyond the end"),
        pytest.param(look(5, 9), look(3, 9, members=0), State.REWIND, id="the worst counts"),
        pytest.param(
            look(5, 9), look(5, 9, STALL_S + 5, patience_s=10), State.WARN, id="meant to wait"
        ),
    ],
)
def test_the_state_is(before: Look, now: Look, state: State) -> None:
    found, why = judge(before, now)
    assert found is state
    assert why


def test_the_trend_is_of_what_waits() -> None:
    assert trend(look(5, 9), look(5, 12)) is Trend.RISING
    assert trend(look(5, 9), look(9, 12)) is Trend.FALLING
    assert trend(look(5, 9), look(8, 12)) is Trend.STEADY


async def test_lag_is_counted_from_what_the_group_committed(
    settings: Settings, stores: Stores, admin: KafkaAdmin, side_topic: Callable[..., str]
) -> None:
    topic, group = side_topic(2), fresh_id("group-")
    written = now_ms() - 40_000
    for value in (b"1", b"2", b"3"):
        await stores.events.publish_raw(topic, b"key", value, (), written)
    ends = admin.ends([(topic, 0), (topic, 1)])
    (used,) = (place for place, end in ends.items() if end)
    admin.commit(group, {used: 1})
    found = Observer(settings).partitions(group, list(ends))[used]
    assert (found.committed, found.end, found.lag_messages) == (1, 3, 2)
    assert 40 <= found.lag_seconds < 60


async def test_a_group_that_is_through_waits_for_nothing(
    settings: Settings, stores: Stores, admin: KafkaAdmin, side_topic: Callable[..., str]
) -> None:
    topic, group = side_topic(), fresh_id("group-")
    await stores.events.publish_raw(topic, b"key", b"1", (), now_ms() - 40_000)
    admin.commit(group, {(topic, 0): 1})
    found = Observer(settings).partitions(group, [(topic, 0)])[topic, 0]
    assert (found.lag_messages, found.lag_seconds) == (0, 0.0)


async def test_a_group_that_never_committed_has_everything_before_it(
    settings: Settings, stores: Stores, side_topic: Callable[..., str]
) -> None:
    topic = side_topic()
    await stores.events.publish_raw(topic, b"key", b"1", ())
    found = Observer(settings).partitions(fresh_id("group-"), [(topic, 0)])[topic, 0]
    assert (found.committed, found.lag_messages) == (None, 1)


def test_every_stage_is_shown_with_its_retries() -> None:
    began = time.monotonic()
    answer = photofeed("lag", "--json")
    assert time.monotonic() - began < 30
    groups = answer.document["groups"]
    shown = {(group["group"], group["topic"]) for group in groups}
    for stage in TOPOLOGY:
        assert {(stage.name, topic.name) for topic in stage.reads} <= shown
        assert (stage.name, stage.retry.name) in shown
    assert answer.code == (0 if all(group["state"] == "OK" for group in groups) else 1)
    for group in groups:
        assert group["stage"] == group["group"]
        assert group["lag_messages"] == sum(p["lag_messages"] for p in group["partitions"])
        assert {"why", "lag_seconds", "trend"} <= group.keys()

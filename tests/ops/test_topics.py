"""`photofeed topics` on a real cluster."""

from collections.abc import Callable, Iterator

import pytest

from domain.settings import Settings
from ops.topics import apply_all, declared, plan_all
from stores.kafka_admin import KafkaAdmin
from streams.topology import TOPOLOGY
from tests.ops.cli import assert_one_line, photofeed
from topics.catalog import EVENT_TOPICS, STAGE_TRACED
from topics.plan import Change, Spec, plan

CHANGED = STAGE_TRACED.name
"""A topic no stage reads: its retention may be short for a moment."""


@pytest.fixture
def mended(settings: Settings) -> Iterator[None]:
    yield
    apply_all(settings)


def test_every_topic_of_the_system_is_declared() -> None:
    names = {spec.name for spec in declared(brokers=1)}
    assert {topic.name for topic in EVENT_TOPICS} <= names
    for stage in TOPOLOGY:
        assert {stage.retry.name, stage.dead_letters.name} <= names
        assert {changelog.name for changelog in stage.changelogs} <= names


def test_a_second_apply_does_nothing(settings: Settings) -> None:
    apply_all(settings)
    again = plan_all(settings)
    assert (again.create, again.change, again.refuse) == ((), (), ())


def test_a_setting_changed_by_hand_is_found_and_mended(
    settings: Settings, admin: KafkaAdmin, mended: None
) -> None:
    del mended
    apply_all(settings)
    admin.change([Change(CHANGED, {"retention.ms": "123456789"})])
    found = photofeed("topics", "plan", "--json")
    assert found.code == 1
    assert CHANGED in {change["topic"] for change in found.document["change"]}
    assert (CHANGED, "retention.ms") in {
        (drift["topic"], drift["setting"]) for drift in found.document["drift"]
    }
    assert photofeed("topics", "apply").code == 0
    assert not plan_all(settings).change


def test_a_topic_nobody_declared_is_drift(
    settings: Settings, side_topic: Callable[..., str]
) -> None:
    name = side_topic()
    assert name in {drift.topic for drift in plan_all(settings).drift}


def test_partitions_grow_only_when_told(admin: KafkaAdmin, side_topic: Callable[..., str]) -> None:
    name = side_topic(1)
    wanted = Spec(name, 3, 1, {}, keyed=True)
    assert plan([wanted], admin.topics()).refuse
    allowed = plan([wanted], admin.topics(), allow_repartition=True)
    admin.change(allowed.change)
    assert admin.partitions()[name] == 3


def test_creating_twice_is_creating_once(admin: KafkaAdmin, side_topic: Callable[..., str]) -> None:
    name = side_topic(2)
    admin.create([Spec(name, 2, 1, {}, keyed=False)])
    assert admin.partitions()[name] == 2


def test_list_shows_every_topic_and_whether_it_is_there(settings: Settings) -> None:
    apply_all(settings)
    rows = photofeed("topics", "list", "--json").document["topics"]
    assert len(rows) == len(declared(brokers=1))
    assert all(row["exists"] for row in rows)


def test_an_unknown_verb_is_bad_usage() -> None:
    answer = photofeed("topics", "aply")
    assert answer.code == 2
    assert_one_line(answer)

"""The topology holds together, and what is told of it is current."""

from collections import Counter
from typing import Any

import pytest

from ops import topology_picture
from schemas.registry import committed
from streams.runtime.stage import Stage
from streams.topology import BY_NAME, TOPOLOGY
from topics.catalog import EVENT_TOPICS
from topics.topic import Topic


@pytest.mark.parametrize("topic", EVENT_TOPICS, ids=lambda topic: topic.name)
def test_every_topic_is_made_and_read_by_someone(topic: Topic[Any]) -> None:
    made = topic.made_outside or [s.name for s in TOPOLOGY if topic in s.writes]
    read = topic.read_outside or [s.name for s in TOPOLOGY if topic in s.reads]
    assert made
    assert read


@pytest.mark.parametrize("stage", TOPOLOGY, ids=lambda stage: stage.name)
def test_a_stage_reads_topics_of_one_partition_count_so_that_keys_meet(stage: Stage) -> None:
    counts = {topic.partitions for topic in stage.reads}
    counts |= {stage.retry.partitions, *(each.partitions for each in stage.changelogs)}
    assert counts == {stage.partitions}


def test_stages_have_names_of_their_own() -> None:
    assert len(BY_NAME) == len(TOPOLOGY)
    names = Counter(each.name for stage in TOPOLOGY for each in (stage.retry, stage.dead_letters))
    assert set(names.values()) == {1}


@pytest.mark.parametrize("topic", EVENT_TOPICS, ids=lambda topic: topic.name)
def test_every_topic_has_a_schema_and_its_key_is_in_it(topic: Topic[Any]) -> None:
    fields = {field["name"] for field in committed().latest(topic.subject).schema["fields"]}
    assert set(topic.key.split(":")) <= fields


def test_personal_data_is_kept_a_week_at_most() -> None:
    hours = [topic.retention_hours for topic in EVENT_TOPICS]
    for stage in TOPOLOGY:
        hours += [stage.retry.retention_hours, stage.dead_letters.retention_hours]
    assert max(hours) <= 168


def test_the_readme_shows_the_present_topology() -> None:
    text = topology_picture.README.read_text()
    assert topology_picture.placed(text) == text, "run `make docs`"

"""The catalogue keeps the contract's rules, whatever is added to it."""

import dataclasses
from typing import Any

import pytest

from streams.topology import TOPOLOGY
from topics.catalog import BY_NAME, EVENT_TOPICS
from topics.topic import Topic

AnyTopic = Topic[Any]


def test_names_are_unique_and_found() -> None:
    assert len(BY_NAME) == len(EVENT_TOPICS)


@pytest.mark.parametrize("topic", EVENT_TOPICS, ids=lambda topic: topic.name)
def test_keys_are_fields_of_the_event(topic: AnyTopic) -> None:
    names = {field.name for field in dataclasses.fields(topic.event)}
    assert set(topic.key.split(":")) <= names


@pytest.mark.parametrize("topic", EVENT_TOPICS, ids=lambda topic: topic.name)
def test_nothing_is_kept_longer_than_a_week(topic: AnyTopic) -> None:
    assert topic.retention_hours <= 168


@pytest.mark.parametrize("topic", EVENT_TOPICS, ids=lambda topic: topic.name)
def test_every_topic_is_made_and_read_by_somebody(topic: AnyTopic) -> None:
    made = topic.made_outside or any(topic in stage.writes for stage in TOPOLOGY)
    read = topic.read_outside or any(topic in stage.reads for stage in TOPOLOGY)
    assert made
    assert read


def test_raw_topics_of_different_stages_dont_meet() -> None:
    raw = [
        topic.name
        for stage in TOPOLOGY
        for topic in (stage.retry, stage.dead_letters, *stage.changelogs)
    ]
    assert len(raw) == len(set(raw))
    assert not set(raw) & BY_NAME.keys()

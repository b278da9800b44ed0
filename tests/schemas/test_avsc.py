"""Files, registry and records say the same."""

import dataclasses
import types
import typing
from typing import Any

import pytest

from schemas.compat import file_of, read_avsc
from schemas.registry import HERE, committed
from topics.catalog import EVENT_TOPICS
from topics.topic import Topic

AnyTopic = Topic[Any]
_PRIMITIVES: dict[Any, list[Any]] = {
    str: ["string"],
    int: ["int", "long", {"type": "long", "logicalType": "timestamp-millis"}],
    float: ["double"],
    bool: ["boolean"],
}
every_topic = pytest.mark.parametrize("topic", EVENT_TOPICS, ids=lambda topic: topic.name)


@every_topic
def test_the_file_is_the_newest_registered_version(topic: AnyTopic) -> None:
    assert read_avsc(file_of(topic.subject)) == committed().latest(topic.subject).schema


@every_topic
def test_the_record_has_the_schemas_fields_and_types(topic: AnyTopic) -> None:
    assert_says_the_same(topic.event, read_avsc(file_of(topic.subject)))


@every_topic
def test_every_event_has_id_time_and_version(topic: AnyTopic) -> None:
    first = [field["name"] for field in read_avsc(file_of(topic.subject))["fields"][:3]]
    assert first == ["event_id", "occurred_at", "version"]


def test_no_file_is_nobodys() -> None:
    assert {path.name for path in HERE.glob("*.avsc")} == {
        file_of(topic.subject).name for topic in EVENT_TOPICS
    }


def assert_says_the_same(annotation: Any, schema: Any) -> None:
    """One Python annotation and one Avro type mean the same values."""
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        hints = typing.get_type_hints(annotation)
        assert schema["type"] == "record"
        assert schema["name"] == annotation.__name__
        assert [field["name"] for field in schema["fields"]] == list(hints)
        for field in schema["fields"]:
            assert_says_the_same(hints[field["name"]], field["type"])
    elif typing.get_origin(annotation) is tuple:
        assert schema["type"] == "array"
        assert_says_the_same(typing.get_args(annotation)[0], schema["items"])
    elif isinstance(annotation, types.UnionType):
        (inner,) = (each for each in typing.get_args(annotation) if each is not types.NoneType)
        assert schema[0] == "null"
        assert_says_the_same(inner, schema[1])
    else:
        assert schema in _PRIMITIVES[annotation]

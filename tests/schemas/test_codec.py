"""Events to bytes and back: nothing lost, and hostile bytes are told apart from ours."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import BadAvro, Codec
from schemas.events import Event, LikeCreated
from schemas.registry import Registered, Registry, committed
from tests.schemas.values import values_of
from topics import catalog as t
from topics.catalog import EVENT_TOPICS
from topics.topic import Topic

AnyTopic = Topic[Any]
LIKE = LikeCreated(
    event_id="e", occurred_at=1, version=2, post_id="ph_1", user_id="u_1", author_id="u_2"
)


def events_of(topic: AnyTopic) -> st.SearchStrategy[Event]:
    made: st.SearchStrategy[Event] = values_of(committed().latest(topic.subject).schema)
    return made


topics = st.sampled_from(EVENT_TOPICS)
topics_with_events = topics.flatmap(lambda topic: st.tuples(st.just(topic), events_of(topic)))


@given(topics_with_events)
def test_a_decoded_event_is_the_encoded_one(pair: tuple[AnyTopic, Event]) -> None:
    topic, event = pair
    assert topic.codec.decode(topic.codec.encode(event)) == event


@given(topics, st.binary(max_size=200), st.booleans())
def test_hostile_bytes_are_an_event_or_bad_avro(topic: AnyTopic, body: bytes, framed: bool) -> None:
    frame = b"\0" + committed().latest(topic.subject).id.to_bytes(4, "big") if framed else b""
    try:
        decoded = topic.codec.decode(frame + body)
    except BadAvro:
        return
    assert isinstance(decoded, topic.event)


@given(topics_with_events, st.data())
def test_damaged_bytes_are_an_event_or_bad_avro(
    pair: tuple[AnyTopic, Event], data: st.DataObject
) -> None:
    topic, event = pair
    value = bytearray(topic.codec.encode(event))
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] ^= data.draw(st.integers(1, 255))
    try:
        topic.codec.decode(bytes(value))
    except BadAvro:
        return


@given(topics_with_events, st.data())
def test_a_cut_event_is_bad_avro(pair: tuple[AnyTopic, Event], data: st.DataObject) -> None:
    topic, event = pair
    value = topic.codec.encode(event)
    with pytest.raises(BadAvro):
        topic.codec.decode(value[: data.draw(st.integers(0, len(value) - 1))])


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\0\0\0\0",
        b"{}",
        b"\1" + t.LIKE_CREATED.codec.encode(LIKE)[1:],
        t.LIKE_CREATED.codec.encode(LIKE) + b"x",
        t.LIKE_DELETED.codec._frame + t.LIKE_CREATED.codec.encode(LIKE)[5:],  # noqa: SLF001 - another's id
    ],
)
def test_what_is_no_event_of_this_topic_is_bad_avro(value: bytes | None) -> None:
    with pytest.raises(BadAvro):
        t.LIKE_CREATED.codec.decode(value)


def test_an_event_that_doesnt_fit_is_bad_avro() -> None:
    wrong = dataclasses.replace(LIKE, version=1 << 70)
    with pytest.raises(BadAvro):
        t.LIKE_CREATED.codec.encode(wrong)


def test_events_of_earlier_versions_are_read_with_defaults() -> None:
    """An event written before a field existed has the field's default (BACKWARD)."""
    newest = committed().latest("photo.rejected-value")
    extra = {"name": "detail", "type": "string", "default": "none given"}
    fields = [field for field in newest.schema["fields"] if field["name"] != "detail"]
    first = Registered(1, "s", 1, {**newest.schema, "fields": fields})
    second = Registered(2, "s", 2, {**newest.schema, "fields": [*fields, extra]})
    before = Codec(t.PHOTO_REJECTED.event, "s", Registry((first,)))
    after = Codec(t.PHOTO_REJECTED.event, "s", Registry((first, second)))
    event = t.PHOTO_REJECTED.event(
        event_id="e", occurred_at=1, version=1, photo_id="p", user_id="u", reason="r", detail="d"
    )
    assert after.decode(before.encode(event)) == dataclasses.replace(event, detail="none given")

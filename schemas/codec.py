"""Events to bytes and back: Avro behind Confluent's five-byte frame (magic 0, schema id).

The frame is the one of Confluent's wire format, so any registry-aware consumer reads our topics.
"""

import dataclasses
import io
import json
import struct
import types
import typing
from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, TypeVar

import fastavro

from schemas.events import Event
from schemas.registry import Registry

_FRAME = struct.Struct(">bI")
E = TypeVar("E", bound=Event)


class BadAvro(Exception):
    """Bytes that no schema we know can read; the message says what was wrong."""


class Codec(Generic[E]):
    """Encode and decode one event type. Writers of every registered version are understood."""

    def __init__(self, event: type[E], subject: str, registry: Registry) -> None:
        self.event = event
        self._registry = registry
        latest = registry.latest(subject)
        self._frame = _FRAME.pack(0, latest.id)
        self._schema = _parsed(latest.schema)
        self._ids = {entry.id for entry in registry.history(subject)}
        self._writers: dict[int, Any] = {}
        self._build = _builder(event)

    def encode(self, event: E) -> bytes:
        """The event as framed Avro. Raises BadAvro when a field doesn't fit its schema."""
        out = io.BytesIO()
        out.write(self._frame)
        try:
            fastavro.schemaless_writer(out, self._schema, dataclasses.asdict(event))
        except (TypeError, ValueError, OverflowError, struct.error) as error:
            raise BadAvro(f"{self.event.__name__} can't be written: {error}") from error
        return out.getvalue()

    def decode(self, value: bytes | None) -> E:
        """The record in `value`. Raises BadAvro for anything else than one whole event."""
        if value is None or len(value) < _FRAME.size:
            raise BadAvro("shorter than the five-byte frame")
        magic, schema_id = _FRAME.unpack_from(value)
        if magic != 0 or schema_id not in self._ids:
            raise BadAvro(f"magic {magic}, schema id {schema_id}: not of {self.event.__name__}")
        body = io.BytesIO(value)
        body.seek(_FRAME.size)
        try:
            fields = fastavro.schemaless_reader(body, self._writer(schema_id), self._schema)
            record: E = self._build(fields)
        except (
            Exception
        ) as error:  # fastavro raises a dozen kinds on hostile bytes, all of them mean this
            raise BadAvro(f"{type(error).__name__}: {error}") from error
        if body.read(1):
            raise BadAvro("bytes left over behind the record")
        return record

    def _writer(self, schema_id: int) -> Any:  # noqa: ANN401 - fastavro's parsed schema has no type
        if schema_id not in self._writers:
            self._writers[schema_id] = _parsed(self._registry.by_id(schema_id).schema)
        return self._writers[schema_id]


def _parsed(schema: Any) -> Any:  # noqa: ANN401 - as above
    return fastavro.parse_schema(json.loads(json.dumps(schema)))


def _builder(annotation: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - walks any annotation
    """A function that turns fastavro's plain value into the annotated type."""
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        hints = typing.get_type_hints(annotation)
        makers = {
            field.name: _builder(hints[field.name]) for field in dataclasses.fields(annotation)
        }
        return lambda value: annotation(
            **{name: make(value[name]) for name, make in makers.items()}
        )
    if typing.get_origin(annotation) is tuple:
        item = _builder(typing.get_args(annotation)[0])
        return lambda value: tuple(item(each) for each in value)
    if isinstance(annotation, types.UnionType):
        inner = _builder(next(a for a in typing.get_args(annotation) if a is not type(None)))
        return lambda value: None if value is None else inner(value)
    return _plain


def _plain(value: Any) -> Any:  # noqa: ANN401 - leaves of any Avro type
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    return value

"""Events of every type, made from their Avro schemas."""

from typing import Any

from hypothesis import strategies as st

from schemas import events
from schemas.registry import AvroSchema

_LATEST_MS = 4_102_444_800_000  # 2100-01-01
_INT, _LONG = 1 << 31, 1 << 63


_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "string": st.text(max_size=30),
    "int": st.integers(-_INT, _INT - 1),
    "long": st.integers(-_LONG, _LONG - 1),
    "double": st.floats(allow_nan=False),
}


def values_of(schema: Any) -> st.SearchStrategy[Any]:
    """Values of an Avro type as the records hold them: tuples, and records of `schemas.events`."""
    if isinstance(schema, list):
        return st.one_of(*map(values_of, schema))
    if isinstance(schema, str):
        return _PRIMITIVES[schema]
    return _of_complex(schema)


def _of_complex(schema: AvroSchema) -> st.SearchStrategy[Any]:
    if schema.get("logicalType") == "timestamp-millis":
        return st.integers(0, _LATEST_MS)
    if schema["type"] == "array":
        return st.lists(values_of(schema["items"]), max_size=4).map(tuple)
    assert schema["type"] == "record", schema
    fields = {field["name"]: values_of(field["type"]) for field in schema["fields"]}
    return st.builds(getattr(events, schema["name"]), **fields)

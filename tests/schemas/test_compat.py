"""BACKWARD_TRANSITIVE: which schema may follow which."""

from typing import Any

import pytest

from schemas.compat import BadSchema, file_of, obstacles, problems, read_avsc
from schemas.registry import Registered, Registry, committed


def record(*fields: dict[str, Any], name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def enum(*symbols: str) -> dict[str, Any]:
    return {"type": "enum", "name": "E", "symbols": list(symbols)}


A = field("a", "int")
NESTED = [field("n", "int"), field("n", "string")]


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        pytest.param(record(A), record(A), id="itself"),
        pytest.param(record(A, field("b", "int", default=0)), record(A), id="a field with default"),
        pytest.param(record(A), record(A, field("b", "int")), id="a field less"),
        pytest.param(record(field("a", "long")), record(A), id="int to long"),
        pytest.param(record(field("a", "double")), record(A), id="int to double"),
        pytest.param(record(field("a", ["null", "int"])), record(A), id="now nullable"),
        pytest.param(record(field("z", "int", aliases=["a"])), record(A), id="renamed, with alias"),
        pytest.param(
            record(field("e", enum("X", "Y"))), record(field("e", enum("X"))), id="a symbol more"
        ),
    ],
)
def test_a_new_version_may(reader: dict[str, Any], writer: dict[str, Any]) -> None:
    assert obstacles(reader, writer) == []


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        pytest.param(record(A, field("b", "int")), record(A), id="a field without default"),
        pytest.param(record(A), record(field("a", "long")), id="long to int"),
        pytest.param(record(A), record(field("a", ["null", "int"])), id="no longer nullable"),
        pytest.param(record(A), record(A, name="S"), id="another name"),
        pytest.param(record(field("a", "string")), record(A), id="another type"),
        pytest.param(
            record(field("e", enum("X"))), record(field("e", enum("X", "Y"))), id="a symbol less"
        ),
        pytest.param(
            record(field("r", ["null", record(NESTED[0], name="N")], default=None)),
            record(field("r", ["null", record(NESTED[1], name="N")], default=None)),
            id="another type deep inside",
        ),
        pytest.param(
            record(field("l", {"type": "array", "items": "int"})),
            record(field("l", {"type": "array", "items": "string"})),
            id="other items",
        ),
    ],
)
def test_a_new_version_may_not(reader: dict[str, Any], writer: dict[str, Any]) -> None:
    assert obstacles(reader, writer)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "recrd"},
        record(field("a", "int", default="one")),
        record(field("a", ["int", "null"], default=None)),
    ],
)
def test_what_is_no_schema_is_told(schema: dict[str, Any]) -> None:
    with pytest.raises(BadSchema):
        obstacles(schema, record(A))


def test_compatibility_is_with_every_earlier_version() -> None:
    """Each step alone would pass: a default that comes a version too late doesn't help."""
    first = record(A)
    second = record(A, field("b", "int", default=0))
    third = record(A, field("b", "int"))
    assert not obstacles(third, second)
    history = Registry(
        tuple(Registered(n, "s", n, each) for n, each in enumerate((first, second, third), 1))
    )
    (line,) = problems(history, {"s": third})
    assert line.startswith("s: version 3 can't read 1")


def test_the_committed_history_has_no_problem() -> None:
    subjects = {entry.subject for entry in committed().entries}
    current = {subject: read_avsc(file_of(subject)) for subject in subjects}
    assert list(problems(committed(), current)) == []


def test_each_problem_is_one_line() -> None:
    registry = Registry(
        (
            Registered(1, "gone-value", 1, record(A)),
            Registered(1, "changed-value", 1, record(A)),
            Registered(2, "gap-value", 2, record(A)),
        )
    )
    current = {
        "changed-value": record(),
        "gap-value": record(A),
        "new-value": record(A),
    }
    assert list(problems(registry, current)) == [
        "id 1 is used more than once",
        "new-value: not registered",
        "changed-value: changed.avsc isn't the newest registered version",
        "gap-value: versions are not 1, 2, 3, …",
        "gone-value: registered, but gone.avsc is missing",
    ]

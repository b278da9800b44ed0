"""What a replay reads and which of it goes on: pure.

A bound is an offset (every partition's), or a time in RFC 3339. A condition is a Python expression
over the decoded event's fields, without calls but `len`: `user_id == 'u_…' and 'sunset' in tags`.
"""

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime

import msgspec
from simpleeval import EvalWithCompoundTypes, InvalidExpression

from schemas.codec import BadAvro
from streams.runtime.dead_letters import read as read_failure
from topics.catalog import BY_NAME
from topics.record import Record


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a range begins or ends; one of the two is set."""

    offset: int | None = None
    time_ms: int | None = None


def parse_bound(text: str) -> Bound:
    """An offset or an RFC 3339 time (UTC unless it says otherwise). Raises ValueError."""
    if text.isdecimal():
        return Bound(offset=int(text))
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return Bound(time_ms=round(at.timestamp() * 1000))


Wanted = Callable[[Record], bool]


def condition(topic: str, key: str | None, where: str | None) -> Wanted:
    """Whether a record of `topic` goes on; an undecodable one doesn't when `where` is given.

    Raises ValueError when `where` is no expression or names what the topic's events haven't.
    """
    holds = None if where is None else _expression(topic, where)

    def wanted(record: Record) -> bool:
        if key is not None and record.key != key.encode():
            return False
        return holds is None or holds(record)

    return wanted


def _expression(topic: str, where: str) -> Wanted:
    parsed = _parsed(topic, where)
    evaluator = EvalWithCompoundTypes(functions={"len": len})

    def holds(record: Record) -> bool:
        source = BY_NAME.get(source_of(record)[0])
        if source is None:
            return False
        try:
            evaluator.names = msgspec.to_builtins(source.codec.decode(record.value))
            return bool(evaluator.eval(where, previously_parsed=parsed))
        except (BadAvro, TypeError, LookupError, AttributeError):
            return False  # no event, or a null where the expression wants a number or a record
        except InvalidExpression as error:
            raise ValueError(f"{where!r}: {error}") from error

    return holds


def _parsed(topic: str, where: str) -> ast.expr:
    try:
        parsed = ast.parse(where.strip(), mode="eval").body
    except SyntaxError:
        raise ValueError(f"{where!r} isn't an expression") from None
    known = {each.name for each in fields(BY_NAME[topic].event)} if topic in BY_NAME else None
    for name in _names(parsed):
        if known is not None and name not in known:
            raise ValueError(f"events of {topic} have no field {name}")
    return parsed


def _names(parsed: ast.AST) -> Iterable[str]:
    called = {id(node.func) for node in ast.walk(parsed) if isinstance(node, ast.Call)}
    for node in ast.walk(parsed):
        if isinstance(node, ast.Name) and id(node) not in called:
            yield node.id


def source_of(record: Record) -> tuple[str, int, int]:
    """Where the record was first: its own place, unless it is a retry or a dead letter."""
    try:
        failure = read_failure(record.headers)
    except ValueError:
        failure = None
    if failure is None:
        return record.topic, record.partition, record.offset
    return failure.source_topic, failure.source_partition, failure.source_offset

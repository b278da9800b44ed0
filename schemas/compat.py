"""Whether schemas may follow one another: BACKWARD_TRANSITIVE (contract, section 3).

Every version can read what any earlier version of its subject wrote, so consumers are upgraded
first and a replay from the beginning always decodes. The rules are the Avro specification's, by
Apache's own checker.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from avro.schema import ArraySchema, RecordSchema, UnionSchema

from schemas.registry import HERE, AvroSchema, Registry

SUFFIX = "-value"


class BadSchema(Exception):
    """A schema that is none; the message is one line."""


def file_of(subject: str) -> Path:
    """The `.avsc` file of a subject: `post.published-value` is in `post_published.avsc`."""
    return HERE / f"{subject.removesuffix(SUFFIX).replace('.', '_')}.avsc"


def read_avsc(path: Path) -> AvroSchema:
    """The schema in a file. Raises BadSchema."""
    try:
        schema: AvroSchema = json.loads(path.read_text())
    except OSError as error:
        raise BadSchema(f"{path.name}: {error.strerror}") from error
    except ValueError as error:
        raise BadSchema(f"{path.name}: {error}") from error
    _parsed(schema)
    return schema


def obstacles(reader: AvroSchema, writer: AvroSchema) -> list[str]:
    """Why `reader` can't read what `writer` wrote; empty when it can. Raises BadSchema."""
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # theirs
    found = checker.get_compatibility(_parsed(reader), _parsed(writer))
    if found.compatibility is SchemaCompatibilityType.compatible:
        return []
    kinds = ", ".join(sorted({kind.value for kind in found.incompatibilities}))
    return [f"{kinds}: {message}" for message in sorted(found.messages)] or [kinds]


def problems(registry: Registry, current: Mapping[str, AvroSchema]) -> Iterator[str]:
    """One line for each thing wrong with a registry and the present schemas by subject."""
    ids = [entry.id for entry in registry.entries]
    for twice in sorted({number for number in ids if ids.count(number) > 1}):
        yield f"id {twice} is used more than once"
    subjects = {entry.subject for entry in registry.entries}
    for subject in sorted(current.keys() - subjects):
        yield f"{subject}: not registered"
    for subject in sorted(subjects):
        yield from _history_problems(registry, subject)
        if subject not in current:
            yield f"{subject}: registered, but {file_of(subject).name} is missing"
        elif current[subject] != registry.latest(subject).schema:
            yield f"{subject}: {file_of(subject).name} isn't the newest registered version"


def _history_problems(registry: Registry, subject: str) -> Iterator[str]:
    history = registry.history(subject)
    if [entry.version for entry in history] != list(range(1, len(history) + 1)):
        yield f"{subject}: versions are not 1, 2, 3, …"
    for at, reader in enumerate(history):
        for writer in history[:at]:
            for why in obstacles(reader.schema, writer.schema):
                yield f"{subject}: version {reader.version} can't read {writer.version}: {why}"


def _parsed(schema: AvroSchema) -> avro.schema.Schema:
    try:
        parsed = avro.schema.parse(json.dumps(schema))
    except AvroException as error:
        raise BadSchema(f"{schema.get('name', 'schema')}: {error}".splitlines()[0]) from error
    for field in _defaulted_fields(parsed):
        first = field.type.schemas[0] if isinstance(field.type, UnionSchema) else field.type
        if first.validate(field.default) is None:
            raise BadSchema(f"{schema['name']}: the default of {field.name} isn't of its type")
    return parsed


def _defaulted_fields(schema: avro.schema.Schema) -> Iterator[avro.schema.Field]:
    """Every field with a default, at any depth; the checker trusts defaults blindly."""
    if isinstance(schema, RecordSchema):
        for field in schema.fields:
            if field.has_default:
                yield field
            yield from _defaulted_fields(field.type)
    elif isinstance(schema, ArraySchema):
        yield from _defaulted_fields(schema.items)
    elif isinstance(schema, UnionSchema):
        for branch in schema.schemas:
            yield from _defaulted_fields(branch)

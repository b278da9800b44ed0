"""`photofeed schemas`: the `.avsc` files, their registered history, an outside registry if any.

A changed `.avsc` is registered before it is deployed: `schemas register post.published` appends it
to `schemas/registry.json`, provided it can read everything ever written.
"""

import json

import click

from domain import settings as settings_tree
from domain.settings import Settings
from ops.errors import Refused
from ops.output import json_option
from ops.report import show
from schemas.compat import SUFFIX, BadSchema, file_of, obstacles, problems, read_avsc
from schemas.registry import HERE, AvroSchema, Registered, committed
from stores.schema_registry import SchemaRegistry
from topics.catalog import EVENT_TOPICS


def fill_registry(settings: Settings) -> None:
    """Give the outside registry, when one is set, what it lacks. Raises StoreAway, Transient."""
    if settings.schema_registry_url:
        SchemaRegistry(settings.schema_registry_url).fill(committed())


@click.group()
def command() -> None:
    """Check and register event schemas."""


@command.command("check")
@json_option
def check(as_json: bool) -> int:
    """Compare files, history and registry; exit 1 with a line for each problem."""
    try:
        current = {topic.subject: read_avsc(file_of(topic.subject)) for topic in EVENT_TOPICS}
        found = list(problems(committed(), current))
    except BadSchema as error:
        raise Refused(str(error)) from error
    url = settings_tree.load().schema_registry_url
    if url and not found:
        found = SchemaRegistry(url).disagreements(committed())
    document = {"schemas": len(committed().entries), "problems": found}
    if as_json or not found:
        show(document, as_json)
    for line in [] if as_json else found:
        click.echo(line)
    return 1 if found else 0


@command.command("register")
@click.argument("name")
@json_option
def register(name: str, as_json: bool) -> None:
    """Append the changed schema of topic NAME to its history, if compatible."""
    subject = name.removesuffix(".avsc").removesuffix(SUFFIX).replace("_", ".") + SUFFIX
    try:
        schema = read_avsc(file_of(subject))
        entry = next_entry(subject, schema)
    except BadSchema as error:
        raise Refused(str(error)) from error
    known = entry in committed().entries
    if not known:
        url = settings_tree.load().schema_registry_url
        if url:
            given = SchemaRegistry(url).register(subject, schema)
            entry = Registered(given, subject, entry.version, schema)
        _append(entry)
    document = {"subject": subject, "version": entry.version, "id": entry.id, "new": not known}
    show(document, as_json)


def next_entry(subject: str, schema: AvroSchema) -> Registered:
    """What `schema` is, or would be, in the committed history. Raises BadSchema when unreadable."""
    history = committed().history(subject)
    if history and history[-1].schema == schema:
        return history[-1]
    for earlier in history:
        for why in obstacles(schema, earlier.schema):
            raise BadSchema(f"{subject}: can't read version {earlier.version}: {why}")
    fresh = max((entry.id for entry in committed().entries), default=0) + 1
    return Registered(fresh, subject, len(history) + 1, schema)


def _append(entry: Registered) -> None:
    path = HERE / "registry.json"
    document = json.loads(path.read_text())
    document["schemas"].append(
        {
            "id": entry.id,
            "subject": entry.subject,
            "version": entry.version,
            "schema": entry.schema,
        }
    )
    path.write_text(json.dumps(document, indent=1) + "\n")
    committed.cache_clear()

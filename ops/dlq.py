"""`photofeed dlq`: look at dead letters and decide what becomes of each.

An entry is named `topic/partition/offset`. What was decided is remembered, so `list` shows what is
still open and a second replay does nothing. A replay goes to the stage that gave up, nowhere else.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from domain import settings as settings_tree
from domain.errors import Reason
from domain.settings import Settings
from ops.dead_letters import Entry, every, named, parse_id, send_back, settle
from ops.errors import Refused
from ops.output import json_option
from ops.report import show
from ops.session import opened
from schemas.codec import BadAvro
from stores.postgres_dead_letters import Address, Decision, PostgresDeadLetters
from streams.topology import BY_NAME
from topics.catalog import BY_NAME as TOPICS

EDITED = "edited"


def _address(text: str) -> Address:
    try:
        return parse_id(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} isn't topic/partition/offset") from None


_ids = click.argument("ids", nargs=-1, type=_address)
_group = click.option("--group", type=click.Choice(sorted(BY_NAME)), help="Of this stage only.")
_reason = click.option(
    "--reason",
    type=click.Choice([reason.value for reason in Reason]),
    help="With this reason only.",
)


@click.group()
def command() -> None:
    """Look at dead letters, replay or discard them."""


@command.command("list")
@_group
@_reason
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--cursor", type=_address, metavar="ID", help="The next_cursor of the page before.")
@json_option
def list_command(
    group: str | None, reason: str | None, limit: int, cursor: Address | None, as_json: bool
) -> None:
    """Undecided dead letters, by address."""
    entries = asyncio.run(_open(settings_tree.load(), group, reason))
    left = [entry for entry in entries if cursor is None or entry.address > cursor]
    page = left[:limit]
    more = len(left) > limit
    document = {
        "entries": [entry.row() for entry in page],
        "next_cursor": page[-1].record.address if more else None,
    }
    show(document, as_json, "entries")


@command.command("show")
@click.argument("address", metavar="ID", type=_address)
@json_option
def show_command(address: Address, as_json: bool) -> None:
    """One dead letter whole: headers, event, bytes."""
    settings = settings_tree.load()
    (entry,) = named(settings, [address])
    decision = asyncio.run(_decisions(settings)).get(address)
    show(entry.details() | {"decision": decision}, as_json)


@command.command("replay")
@_ids
@click.option("--all", "everything", is_flag=True, help="All that is undecided.")
@_group
@_reason
@click.option("--dry-run", is_flag=True, help="Count only.")
@json_option
def replay(
    ids: tuple[Address, ...],
    everything: bool,
    group: str | None,
    reason: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send dead letters back to the stage that gave up on them."""
    if bool(ids) == everything:
        raise click.UsageError("either IDs or --all")
    if ids and (group or reason):
        raise click.UsageError("--group and --reason go with --all")
    done = asyncio.run(_replay(settings_tree.load(), ids, group, reason, dry_run=dry_run))
    show({"replayed": len(done), "dry_run": dry_run}, as_json)


@command.command("discard")
@_ids
@click.option("--why", required=True, help="Kept with the decision.")
@json_option
def discard(ids: tuple[Address, ...], why: str, as_json: bool) -> None:
    """Decide that dead letters are never handled."""
    if not ids or not why.strip():
        raise click.UsageError("IDs and a --why that says something")
    settings = settings_tree.load()
    done = asyncio.run(_settle(settings, named(settings, ids), "discarded", why))
    show({"discarded": len(done)}, as_json)


@command.command("edit")
@click.argument("address", metavar="ID", type=_address)
@click.option("--set", "changes", multiple=True, required=True, metavar="FIELD=JSON")
@json_option
def edit(address: Address, changes: tuple[str, ...], as_json: bool) -> None:
    """Replay a dead letter with fields of its event changed."""
    settings = settings_tree.load()
    (entry,) = named(settings, [address])
    value = edited(entry, dict(_assignment(change) for change in changes))
    show({"replayed": asyncio.run(_send_edited(settings, entry, value))}, as_json)


def edited(entry: Entry, changes: dict[str, Any]) -> bytes:
    """The entry's event with fields replaced, encoded anew. Raises Refused."""
    try:
        event = entry.event()
        fields = msgspec.to_builtins(event)
        unknown = changes.keys() - fields.keys()
        if unknown:
            raise Refused(f"{type(event).__name__} has no {', '.join(sorted(unknown))}")
        changed = msgspec.convert(fields | changes, type(event))
        return TOPICS[entry.failure.source_topic].codec.encode(changed)
    except (BadAvro, msgspec.ValidationError) as error:
        raise Refused(f"{entry.record.address}: {error}") from error


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    try:
        return name, json.loads(value if equals else "")
    except ValueError:
        raise click.UsageError(f"--set {text}: the value isn't JSON") from None


async def _open(settings: Settings, group: str | None, reason: str | None) -> list[Entry]:
    decided = await _decisions(settings)
    return [
        entry
        for entry in every(settings)
        if entry.address not in decided
        and group in (None, entry.failure.group)
        and reason in (None, entry.failure.reason)
    ]


async def _decisions(settings: Settings) -> dict[Address, str]:
    async with opened(settings) as stores:
        return await PostgresDeadLetters(stores.postgres).decided()


async def _replay(
    settings: Settings,
    ids: Sequence[Address],
    group: str | None,
    reason: str | None,
    *,
    dry_run: bool,
) -> list[Entry]:
    entries = named(settings, ids) if ids else await _open(settings, group, reason)
    if dry_run:
        decided = await _decisions(settings)
        return [entry for entry in entries if entry.address not in decided]
    return await _settle(settings, entries, "replayed", "")


async def _settle(
    settings: Settings, entries: Sequence[Entry], decision: Decision, why: str
) -> list[Entry]:
    async with opened(settings) as stores:
        return await settle(stores, entries, decision, why)


async def _send_edited(settings: Settings, entry: Entry, value: bytes) -> int:
    async with opened(settings) as stores:
        memory = PostgresDeadLetters(stores.postgres)
        if entry.address in await memory.decided():
            return 0
        await send_back(stores, entry, value)
        await memory.decide([entry.address], "replayed", EDITED)
        return 1

"""`photofeed moderation blocklist`: the perceptual hashes of what is never published.

A change counts from the next photo on: every worker asks for the list's version with each.
"""

import asyncio
import re
import time
from collections.abc import Iterable
from typing import Any, Final, TextIO

import click

from domain import settings as settings_tree
from domain.moderation import BlockedHash
from domain.settings import Settings
from ops.errors import Refused
from ops.output import json_option
from ops.report import rfc3339, show
from ops.session import opened

_HASH: Final = re.compile("[0-9a-f]{64}")
_BATCH: Final = 100_000


@click.group()
def command() -> None:
    """Hashes of blocked content (PDQ, 256 bits)."""


@command.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--source", required=True, help="Whose list it is.")
@click.option("--reason", default="blocked", show_default=True, help="Where a line gives none.")
@json_option
def import_command(file: TextIO, source: str, reason: str, as_json: bool) -> None:
    """Add hashes from FILE (- for standard input): one a line, `HASH` or `HASH,REASON`.

    Nothing is added when a line can't be read. What is on the list stays as it is.
    """
    entries = list(parsed(file, source, reason, time.time_ns() // 1_000_000))
    show(asyncio.run(_add(settings_tree.load(), entries)), as_json)


@command.command("list")
@click.option("--after", default="", metavar="HASH", help="Begin behind this one.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@json_option
def list_command(after: str, limit: int, as_json: bool) -> None:
    """Entries in the order of their hashes."""
    after = _checked(after) if after else ""
    show(asyncio.run(_page(settings_tree.load(), after, limit)), as_json, "entries")


@command.command("remove")
@click.argument("phash", metavar="HASH")
@json_option
def remove(phash: str, as_json: bool) -> None:
    """Take HASH off the list; photos it stopped stay stopped until they are restored."""
    phash = _checked(phash)
    if not asyncio.run(_remove(settings_tree.load(), phash)):
        raise Refused(f"{phash} isn't on the list")
    show({"hash": phash, "removed": True}, as_json)


def parsed(lines: Iterable[str], source: str, reason: str, now: int) -> Iterable[BlockedHash]:
    """The entries of a file; blank lines and those that begin with # are none. Raises Refused."""
    for number, line in enumerate(lines, 1):
        phash, _, why = line.strip().partition(",")
        if not phash or phash.startswith("#"):
            continue
        phash = phash.strip().lower()
        if not _HASH.fullmatch(phash):
            raise Refused(f"line {number}: not a hash of 64 hexadecimal digits: {phash[:80]!r}")
        yield BlockedHash(phash, source, why.strip() or reason, now)


def _checked(phash: str) -> str:
    if not _HASH.fullmatch(phash.lower()):
        raise click.UsageError(f"not a hash of 64 hexadecimal digits: {phash}")
    return phash.lower()


async def _add(settings: Settings, entries: list[BlockedHash]) -> dict[str, Any]:
    """In parts, each a commit: an import that broke off is simply run again."""
    async with opened(settings) as stores:
        added = 0
        for start in range(0, len(entries), _BATCH):
            added += await stores.blocklist.add(entries[start : start + _BATCH])
        return {"read": len(entries), "added": added, "entries": await stores.blocklist.count()}


async def _page(settings: Settings, after: str, limit: int) -> dict[str, Any]:
    async with opened(settings) as stores:
        found = await stores.blocklist.page(after, limit)
        total = await stores.blocklist.count()
    entries = [
        {
            "hash": each.hash,
            "source": each.source,
            "reason": each.reason,
            "added_at": rfc3339(each.added_at),
        }
        for each in found
    ]
    return {"entries": entries, "total": total}


async def _remove(settings: Settings, phash: str) -> bool:
    async with opened(settings) as stores:
        return await stores.blocklist.remove(phash)

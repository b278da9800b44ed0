"""`photofeed moderation`: photos that the blocklist stopped, and what becomes of them.

A case is named by its photo. Every decision is kept for good: who, when, why. An upheld photo may
still be restored; a restored one is published as if it had never been stopped, and is from then on
deleted like any other.
"""

import asyncio
import getpass
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import click

from domain import settings as settings_tree
from domain.errors import NotFound, Reason, Unrecoverable
from domain.moderation import AlreadyRestored, Case
from domain.settings import Settings
from ops import blocklist
from ops.errors import Refused
from ops.output import json_option
from ops.report import rfc3339, show
from ops.session import opened

_LISTED = 1000


@click.group()
def command() -> None:
    """Stopped photos, decisions about them, and the blocklist."""


command.add_command(blocklist.command, "blocklist")


@command.command("list")
@click.option("--all", "every", is_flag=True, help="Decided cases too, newest first.")
@json_option
def list_command(every: bool, as_json: bool) -> None:
    """Cases that wait for a decision, oldest first; a thousand at most."""
    cases = asyncio.run(_cases(settings_tree.load(), every))
    show({"cases": [_row(case) for case in cases]}, as_json, "cases")


@command.command("show")
@click.argument("photo_id", metavar="CASE")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Write the photo.")
@json_option
def show_command(photo_id: str, save: Path | None, as_json: bool) -> None:
    """One case, its decisions, and with --save the photo itself."""
    document = asyncio.run(_shown(settings_tree.load(), photo_id, save))
    show(document, as_json, "decisions")


@command.command("decide")
@click.argument("photo_id", metavar="CASE")
@click.option("--restore", "decision", flag_value="restored", help="Publish it after all.")
@click.option("--uphold", "decision", flag_value="upheld", help="It stays away.")
@click.option("--why", required=True, help="In a sentence; kept for good.")
@click.option("--by", default=getpass.getuser, help="Who decides, if not the user of this shell.")
@json_option
def decide(
    photo_id: str,
    decision: Literal["restored", "upheld"] | None,
    why: str,
    by: str,
    as_json: bool,
) -> None:
    """Decide about CASE."""
    if decision is None:
        raise click.UsageError("say --restore or --uphold")
    if not why.strip():
        raise click.UsageError("--why is empty")
    asyncio.run(_decide(settings_tree.load(), photo_id, decision, by, why))
    show({"photo_id": photo_id, "decision": decision, "decided_by": by, "why": why}, as_json)


def _row(case: Case) -> dict[str, Any]:
    return asdict(case) | {"opened_at": rfc3339(case.opened_at)}


async def _cases(settings: Settings, every: bool) -> list[Case]:
    async with opened(settings) as stores:
        if every:
            return await stores.moderation.latest(_LISTED)
        return await stores.moderation.open_cases(_LISTED)


async def _shown(settings: Settings, photo_id: str, save: Path | None) -> dict[str, Any]:
    async with opened(settings) as stores:
        case = await stores.moderation.get(photo_id)
        if case is None:
            raise Refused(f"{photo_id} has no case")
        decisions = await stores.moderation.decisions(photo_id)
        if save is not None:
            bucket = settings.uploads.bucket
            source = await stores.objects.get(bucket, case.kept_key)
            await asyncio.to_thread(save.write_bytes, source)
    made = [asdict(each) | {"decided_at": rfc3339(each.decided_at)} for each in decisions]
    return _row(case) | {"decisions": made}


async def _decide(
    settings: Settings, photo_id: str, decision: Literal["restored", "upheld"], by: str, why: str
) -> None:
    async with opened(settings) as stores:
        try:
            if decision == "restored":
                await stores.screening.restore(photo_id, by, why)
            else:
                now = time.time_ns() // 1_000_000
                await stores.moderation.uphold(photo_id, by, why, now)
        except NotFound:
            raise Refused(f"{photo_id} has no case") from None
        except AlreadyRestored:
            raise Refused(f"{photo_id} was restored already") from None
        except Unrecoverable as error:
            if error.reason is not Reason.MISSING_OBJECT:
                raise
            raise Refused(f"{photo_id}: its bytes are gone") from None

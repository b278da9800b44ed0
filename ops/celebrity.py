"""`photofeed celebrity`: people whose followers are too many to push every post to.

Their posts are pulled by readers instead (streams/plan_fan_out.py). The flag is sticky: only
`clear` takes it away, and someone who is still above the threshold gets it back with the next
follow. After a clear new posts are pushed again; those that were pulled still are. The threshold
takes effect within seconds, for new decisions only. Where it is adaptive, what is set is its upper
end, and what is shown is where it stands.
"""

import asyncio
from typing import Any

import click

from domain import settings as settings_tree
from domain.settings import Settings
from ops.errors import Refused
from ops.output import json_option
from ops.report import rfc3339, show
from ops.session import opened
from streams.delivery import CelebrityFlags

LOWEST = 1
HIGHEST = 1_000_000
"""Above this even one post's fan-out would keep the writers busy for minutes."""


@click.group()
def command() -> None:
    """Flagged users and the threshold."""


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """Everyone who is flagged."""
    rows = asyncio.run(_flagged(settings_tree.load()))
    show({"celebrities": rows}, as_json, "celebrities")


@command.command("clear")
@click.argument("user_id", metavar="USER")
@json_option
def clear(user_id: str, as_json: bool) -> None:
    """Take the flag off USER."""
    if not asyncio.run(_clear(settings_tree.load(), user_id)):
        raise Refused(f"{user_id} isn't flagged")
    show({"user_id": user_id, "cleared": True}, as_json)


@command.command("threshold")
@click.argument("followers", metavar="[N]", type=click.IntRange(LOWEST, HIGHEST), required=False)
@json_option
def threshold(followers: int | None, as_json: bool) -> None:
    """Show the threshold, or set it to N followers, live."""
    show(asyncio.run(_threshold(settings_tree.load(), followers)), as_json)


async def _flagged(settings: Settings) -> list[dict[str, Any]]:
    async with opened(settings) as stores:
        found = await stores.celebrities.flagged()
    return [
        {"user_id": user_id, "followers": followers, "flagged_at": rfc3339(at)}
        for user_id, followers, at in found
    ]


async def _clear(settings: Settings, user_id: str) -> bool:
    async with opened(settings) as stores:
        return await CelebrityFlags(stores.celebrities, stores.follow_cache).clear(user_id)


async def _threshold(settings: Settings, followers: int | None) -> dict[str, Any]:
    feed = settings.feed
    async with opened(settings) as stores:
        if followers is not None:
            await stores.celebrities.set_threshold(followers)
        ceiling = await stores.celebrities.threshold() or feed.celebrity_threshold
        adaptive = await stores.push_limit.followers() if feed.adaptive_threshold else None
    return {
        "threshold": min(ceiling, adaptive or ceiling),
        "adaptive": feed.adaptive_threshold,
        "min": min(feed.adaptive_min, ceiling) if feed.adaptive_threshold else LOWEST,
        "max": ceiling if feed.adaptive_threshold else HIGHEST,
    }

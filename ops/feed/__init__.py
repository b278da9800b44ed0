"""`photofeed feed`: is every feed what it must be, why is a post in one, and make it so.

The commands' functions aren't called as the modules beside them: they would hide those.
"""

import asyncio
import math
from typing import Any

import click

from domain import ids
from domain import settings as settings_tree
from domain.feed_audit import Fault, Finding
from domain.feed_explain import MEANINGS
from ops.feed import jobs
from ops.feed.audit import Report, advice
from ops.output import json_option
from ops.replay_plan import parse_bound
from ops.report import rfc3339, show

RATE = 100.0
FASTEST = 10_000.0


@click.group()
def command() -> None:
    """What feeds hold, and what they must hold."""


@command.command("audit")
@click.option("--since", metavar="TIME", help="Only posts published at this time or later.")
@json_option
def audit_feeds(since: str | None, as_json: bool) -> int:
    """Compare every feed with the stores; exit 1 if posts are lost, ghosts or duplicates.

    \b
    eligible   live posts times present followers; each of these pairs is one of the next four
    delivered  a reader is shown it from the cache
    filtered   cold_feed, below_floor: a reader is shown it from the stores; the other reasons are
               of entries that are cached, do no harm and are no pairs
    pending    younger than 30 s, or its events aren't handled yet
    lost       everything else
    """  # noqa: D301 - click's own mark for lines to be left as they are
    report = asyncio.run(jobs.audit(settings_tree.load(), _time(since), quiet=as_json))
    show(_audited(report), as_json, "examples")
    return 0 if report.clean else 1


@command.command("explain")
@click.argument("post_id", metavar="POST")
@click.option("--user", "user_id", required=True, metavar="U", help="Whose feed.")
@json_option
def explain_post(post_id: str, user_id: str, as_json: bool) -> None:
    """Why POST is in somebody's feed, or why it isn't."""
    if not ids.is_id(post_id, "ph_"):
        raise click.UsageError(f"{post_id!r} is no post id")
    answer = asyncio.run(jobs.explained(settings_tree.load(), _user(user_id), post_id))
    document = {
        "post_id": answer.post_id,
        "in_feed": answer.in_feed,
        "how": answer.how,
        "reason": answer.reason,
        "at": rfc3339(answer.at or 0),
        "event_id": answer.event_id,
        "meaning": MEANINGS[answer.reason],
    }
    show(document, as_json)


@command.command("rebuild")
@click.option("--user", "user_ids", multiple=True, metavar="U", help="This one's; repeatable.")
@click.option("--all", "everybody", is_flag=True, help="Everybody's, those that are cold too.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True, max=FASTEST),
    default=RATE,
    show_default=True,
    help="Feeds a second at most; fewer while delivery lags or Cassandra is slow.",
)
@click.option("--resume", is_flag=True, help="Go on where the last --all was broken off.")
@json_option
def rebuild_feeds(
    user_ids: tuple[str, ...], everybody: bool, rate: float, resume: bool, as_json: bool
) -> int:
    """Make feeds from the stores again, while they are read.

    Exit 1 if one of them didn't come to agree with the stores (`unequal`).
    """
    if bool(user_ids) == everybody:
        raise click.UsageError("whose? --user U or --all")
    if resume and not everybody:
        raise click.UsageError("--resume goes with --all")
    if math.isnan(rate):
        raise click.UsageError("the rate is no number")
    users = [_user(each) for each in user_ids]
    settings = settings_tree.load()
    done = asyncio.run(jobs.rebuild(settings, users, rate, resume=resume, quiet=as_json))
    show(done.document(), as_json)
    return 1 if done.unequal else 0


def _user(text: str) -> str:
    if not ids.is_id(text, "u_"):
        raise click.UsageError(f"{text!r} is no user id")
    return text


def _time(text: str | None) -> int:
    """An RFC 3339 time as Unix milliseconds, 0 for none."""
    if text is None:
        return 0
    try:
        at = parse_bound(text).time_ms
    except ValueError:
        at = None
    if at is None:
        raise click.UsageError(f"{text!r} is no RFC 3339 time")
    return at


def _audited(report: Report) -> dict[str, Any]:
    totals = report.totals
    return {
        "posts": report.posts,
        "eligible": totals.eligible,
        "delivered": totals.delivered,
        "filtered": {str(reason): count for reason, count in sorted(totals.filtered.items())},
        "pending": totals.pending,
        "lost": totals.faults[Fault.LOST],
        "ghosts": totals.faults[Fault.GHOST],
        "duplicates": totals.faults[Fault.DUPLICATE],
        "readers": report.readers,
        "examples": [_example(finding) for finding in totals.examples],
    }


def _example(finding: Finding) -> dict[str, Any]:
    return {
        "fault": str(finding.fault),
        "user_id": finding.user_id,
        "post_id": finding.entry.post_id,
        "author_id": finding.entry.author_id,
        "published_at": rfc3339(finding.entry.published_at),
        "why": str(finding.why),
        "do": advice(finding),
    }

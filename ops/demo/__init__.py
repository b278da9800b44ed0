"""`photofeed demo`: real photographs from upload to every follower's feed, checked at the end."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from domain import settings as settings_module
from domain.errors import Transient
from domain.settings import Settings
from ops import up
from ops.demo import report as reports
from ops.demo import trouble
from ops.demo.client import Refused as ClientRefused
from ops.demo.plan import write_script
from ops.demo.run import Outcome, Show, perform
from ops.errors import Refused
from ops.output import json_option, print_json
from ops.photos import make_uploads
from ops.trace import stage_times

_KILL_PERIOD_S = 4.0
_PATIENCE_S = 60.0
_PATIENCE_KILLED_S = 240.0
_COLUMNS = (
    TextColumn("{task.description:<20}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
)


@click.command("demo")
@click.option("--uploads", default=24, show_default=True, type=click.IntRange(1, 500))
@click.option("--seed", default=7, show_default=True, help="Cast and photographs repeat with it.")
@click.option("--limit", "limit_s", type=float, help="Patience, seconds (60; 240 with --kill).")
@click.option("--kill", "kill", multiple=True, metavar="ROLE", help="kill -9 it midway, or `all`.")
@json_option
def command(
    uploads: int, seed: int, limit_s: float | None, kill: tuple[str, ...], *, as_json: bool
) -> None:
    """Run the whole way of a photo and check every feed. Exit 0 only if nothing was lost."""
    settings = settings_module.load()
    console = Console(stderr=as_json)
    up.start(settings)
    roles = trouble.choose(settings.run_dir, kill)
    patience_s = limit_s or (_PATIENCE_KILLED_S if kill else _PATIENCE_S)
    show = Show(write_script(uploads, seed), [], Progress(*_COLUMNS, console=console), patience_s)
    report = run(settings, show, seed, roles)
    if as_json:
        print_json(report)
    else:
        reports.show(console, report)
    sys.exit(0 if report["ok"] else 1)


def run(settings: Settings, show: Show, seed: int, kill: Sequence[str] = ()) -> dict[str, object]:
    """The main job on a running stack; writes and returns the report."""
    console, began = show.progress.console, time.time()
    with show.progress as progress:
        making = progress.add_task("photographs", total=len(show.script.posters))
        show.files = make_uploads(len(show.script.posters), seed)
        progress.advance(making, len(show.files))
        most_a_minute = settings.limits.uploads_per_user * len(show.script.names)
        show.pace_s = 60 / most_a_minute  # twelve people as fast as the limits let them
        if kill:
            show.pace_s = _KILL_PERIOD_S * (len(kill) + 1) / len(show.files)
        outcome = _perform(settings, show, kill)
    with contextlib.suppress(Transient):  # traces are best effort
        took = stage_times(settings, show.posts.values())
        show.measured.stages = {stage: reports.spread(times) for stage, times in took.items()}
    report = reports.document(outcome.verdict, show.measured, _cast(show), outcome.wrong_counts) | {
        "seconds": round(time.time() - began, 1),
        "killed": list(kill),
    }
    _write(settings.run_dir / "demo-report.json", json.dumps(report, indent=2))
    people = [{"username": name, "password": word} for name, word in show.passwords.items()]
    _write(settings.run_dir / "demo-people.json", json.dumps(people, indent=2))
    first = people[1]
    console.print(
        f"\nSee it: {settings.url('api')}/app/  (sign in as [bold]{first['username']}[/bold], "
        f"password [bold]{first['password']}[/bold]; everyone's: "
        f"{os.path.relpath(settings.run_dir / 'demo-people.json')})",
        highlight=False,
        soft_wrap=True,
    )
    return report


def _perform(settings: Settings, show: Show, kill: Sequence[str]) -> Outcome:
    told = show.progress.console.print
    killing = trouble.kill_each(settings.run_dir, kill, _KILL_PERIOD_S, told) if kill else None
    try:
        return asyncio.run(perform(settings.url("api"), show, killing))
    except* ClientRefused as refusals:
        raise Refused(f"the demo was refused: {_leaf(refusals)}") from None
    except* TimeoutError:
        raise Refused(
            f"no answer within {show.limit_s:.0f} s: photofeed status tells why"
        ) from None


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _cast(show: Show) -> dict[str, int]:
    return {
        "photos": len(show.posts),
        "users": len(show.people),
        "follows": len(show.script.follows) - len(show.script.undone),
    }


def _write(path: Path, text: str) -> None:
    """Write for the owner's eyes alone: the people's file holds passwords."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")

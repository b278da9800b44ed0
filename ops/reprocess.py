"""`photofeed photos`: render published photos again; remove pictures that no post shows.

Originals are kept as long as their post lives, so every photo can be rendered again.
"""

import ast
import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, fields

import click
import msgspec
from simpleeval import AttributeDoesNotExist, EvalWithCompoundTypes, InvalidExpression

from domain import settings as settings_tree
from domain.entities import Photo, PhotoStatus
from domain.settings import Settings
from ops.output import json_option
from ops.report import show
from ops.rerender import Outcome, Rerender
from ops.session import opened
from stores.connect import Stores
from stores.media_sweep import sweep

Wanted = Callable[[Photo], bool]


@dataclass(frozen=True, slots=True)
class Job:
    """What was asked for: these photos, or all posts, and of them those that are wanted."""

    photo_ids: tuple[str, ...]
    wanted: Wanted
    rate: float | None
    dry_run: bool


@click.group()
def command() -> None:
    """Published photos."""


@command.command("reprocess")
@click.option("--photo", "photo_ids", multiple=True, metavar="ID", help="This one; repeatable.")
@click.option("--where", metavar="EXPR", help="Posts whose row fits, as in: width > 4000")
@click.option("--dry-run", is_flag=True, help="Render and compare, change nothing.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Photos a second.")
@json_option
def reprocess(
    photo_ids: tuple[str, ...], where: str | None, dry_run: bool, rate: float | None, as_json: bool
) -> int:
    """Render photos again; what comes out otherwise gets new URLs, the old ones are purged."""
    if not photo_ids and where is None:
        raise click.UsageError("which photos? --photo ID or --where EXPR (--where True: all)")
    try:
        job = Job(photo_ids, condition(where or "True"), rate, dry_run)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    began = time.monotonic()
    outcomes = asyncio.run(_reprocess(settings_tree.load(), job))
    problems = [
        {"photo_id": photo_id, "why": str(outcome)}
        for photo_id, outcome in outcomes.items()
        if outcome.is_problem
    ]
    counts = Counter(map(str, outcomes.values()))
    document = {
        "photos": len(outcomes),
        **{str(each): counts[str(each)] for each in Outcome if not each.is_problem},
        "problems": problems,
        "dry_run": dry_run,
        "seconds": round(time.monotonic() - began, 1),
    }
    show(document, as_json, "problems")
    return 1 if problems else 0


@command.command("sweep")
@json_option
def sweep_command(as_json: bool) -> None:
    """Remove pictures that no post has shown for longer than the grace."""
    show({"removed": asyncio.run(_sweep(settings_tree.load()))}, as_json)


def condition(where: str) -> Wanted:
    """Whether a row is wanted. Raises ValueError for what is no expression over a row's fields."""
    try:
        parsed = ast.parse(where.strip(), mode="eval").body
    except SyntaxError:
        raise ValueError(f"{where!r} isn't an expression") from None
    known = {field.name for field in fields(Photo)} | {"len"}
    for node in ast.walk(parsed):
        if isinstance(node, ast.Name) and node.id not in known:
            raise ValueError(f"photos have no field {node.id}")
    evaluator = EvalWithCompoundTypes(functions={"len": len})

    def wanted(photo: Photo) -> bool:
        evaluator.names = msgspec.to_builtins(photo)
        try:
            return bool(evaluator.eval(where, previously_parsed=parsed))
        except (TypeError, LookupError, AttributeDoesNotExist):
            return False  # a null where the expression wants a number or a record
        except InvalidExpression as error:
            raise ValueError(f"{where!r}: {error}") from error

    return wanted


async def _reprocess(settings: Settings, job: Job) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    async with opened(settings) as stores:
        rerender = Rerender(
            stores.photos,
            stores.media_refs,
            stores.objects,
            stores.decoder,
            stores.events,
            stores.edge,
            settings.uploads,
            lambda: time.time_ns() // 1_000_000,
        )
        async for photo_id in _chosen(stores, job):
            began = time.monotonic()
            outcomes[photo_id] = await rerender(photo_id, dry_run=job.dry_run)
            if job.rate is not None:
                await asyncio.sleep(max(0.0, 1 / job.rate - (time.monotonic() - began)))
    return outcomes


async def _chosen(stores: Stores, job: Job) -> AsyncIterator[str]:
    """Ids of the photos to render; one that was asked for by id is always looked at."""
    if job.photo_ids:
        rows = await stores.photos.get_many(job.photo_ids)
        for photo_id in job.photo_ids:
            row = rows.get(photo_id)
            if row is None or job.wanted(row):
                yield photo_id
        return
    async for row in stores.photos.scan():
        if row.status is PhotoStatus.PUBLISHED and job.wanted(row):
            yield row.photo_id


async def _sweep(settings: Settings) -> int:
    async with opened(settings) as stores:
        now = time.time_ns() // 1_000_000
        return await sweep(stores.media_refs, stores.objects, settings.uploads, now)

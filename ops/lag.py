"""`photofeed lag`: how far each stage is behind, on what it reads and on its retries.

Each answer rests on two looks, so that movement shows; `ops/lag_state.py` says what the states
mean. Exit 1 when any of them isn't OK.
"""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import click
from rich.live import Live

from domain import settings as settings_tree
from domain.settings import Settings
from ops.lag_state import Look, PartitionLag, State, judge, trend
from ops.output import json_option, print_json
from ops.report import Row, console, table
from stores.kafka_admin import KafkaAdmin, Place
from stores.kafka_reader import first_times
from streams.topology import TOPOLOGY

BETWEEN_LOOKS_S = 1.0
WATCH_S = 2.0
Pair = tuple[str, str]
"""A group and a topic it reads."""
Looks = dict[Pair, Look]


class Observer:
    """Takes looks at all groups. Raises StoreAway, Transient."""

    def __init__(self, settings: Settings) -> None:
        self._bootstrap = settings.address("kafka")
        self._admin = KafkaAdmin(self._bootstrap)
        self._retry_wait_s = settings.retries.round_delay_s

    def look(self) -> Looks:
        """Every group on every topic it reads, now."""
        counts = self._admin.partitions()
        members = self._admin.members([stage.name for stage in TOPOLOGY])
        looks: Looks = {}
        for stage in TOPOLOGY:
            topics = [*(topic.name for topic in stage.reads), stage.retry.name]
            places = [(name, p) for name in topics for p in range(counts.get(name, 0))]
            found = self.partitions(stage.name, places)
            for name in topics:
                parts = tuple(found[place] for place in places if place[0] == name)
                wait_s = self._retry_wait_s if name == stage.retry.name else 0.0
                looks[stage.name, name] = Look(members[stage.name], parts, wait_s)
        return looks

    def partitions(self, group: str, places: list[Place]) -> dict[Place, PartitionLag]:
        """How far one group is behind on each place."""
        committed = self._admin.committed(group)
        starts, ends = self._admin.starts(places), self._admin.ends(places)
        # What retention took before the group came to it waits no longer.
        reached = {place: max(committed.get(place, 0), starts[place]) for place in places}
        behind = {place: at for place, at in reached.items() if at < ends[place]}
        since_ms = first_times(self._bootstrap, behind)
        now_ms = time.time() * 1000
        return {
            place: PartitionLag(
                place[1],
                committed.get(place),
                ends[place],
                max(0, ends[place] - reached[place]),
                max(0.0, (now_ms - since_ms.get(place, now_ms)) / 1000),
            )
            for place in places
        }


def report(before: Looks, now: Looks) -> dict[str, Any]:
    """The answer's document (contract, section 4)."""
    return {"groups": [_group(pair, before.get(pair, look), look) for pair, look in now.items()]}


def _group(pair: Pair, before: Look, now: Look) -> dict[str, Any]:
    group, topic = pair
    state, why = judge(before, now)
    return {
        "group": group,
        "stage": group,
        "topic": topic,
        "state": state,
        "why": why,
        "lag_messages": now.lag_messages,
        "lag_seconds": round(now.lag_seconds, 1),
        "trend": trend(before, now),
        "partitions": [dataclasses.asdict(part) for part in now.partitions],
    }


def rows(document: dict[str, Any]) -> list[Row]:
    """The groups without their partitions, for a table."""
    return [
        {name: value for name, value in group.items() if name not in ("stage", "partitions")}
        for group in document["groups"]
    ]


@click.command("lag")
@click.option("--watch", is_flag=True, help="Refresh until interrupted.")
@json_option
def command(watch: bool, as_json: bool) -> int:
    """How far each stage is behind; exit 1 when one isn't OK.

    \b
    OK      nothing waits for long
    WARN    it moves, but the oldest waiting record is older than 30 s
    STOP    nobody reads: the group has no member, or the topic isn't there
    STALL   members, but a record older than 60 s waits and the offset doesn't move
    REWIND  the offset went back, or lies beyond the topic's end
    """  # noqa: D301 - click's own mark for lines to be left as they are
    observer = Observer(settings_tree.load())
    documents = _documents(observer)
    document = next(documents)
    if as_json:
        print_json(document)
    elif watch:
        _watch(document, documents)
    else:
        console().print(table("groups", rows(document)))
    return 0 if all(group["state"] == State.OK for group in document["groups"]) else 1


def _documents(observer: Observer) -> Iterator[dict[str, Any]]:
    """Reports without end, each against the look before."""
    before = observer.look()
    time.sleep(BETWEEN_LOOKS_S)
    while True:
        now = observer.look()
        yield report(before, now)
        before = now
        time.sleep(WATCH_S)


def _watch(first: dict[str, Any], rest: Iterator[dict[str, Any]]) -> None:
    with Live(table("groups", rows(first)), console=console(), auto_refresh=False) as live:
        for document in rest:
            live.update(table("groups", rows(document)), refresh=True)

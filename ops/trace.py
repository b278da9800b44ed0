"""`photofeed trace PHOTO_ID`: every stage one photo went through, with times.

Stages write a line each to `stage.traced`, kept for a day and best effort; the accepted upload
itself is read from its own topic.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import click

from domain import ids
from domain import settings as settings_tree
from domain.settings import Settings
from ops.errors import Refused
from ops.output import json_option
from ops.report import rfc3339, show
from schemas.codec import BadAvro
from schemas.events import StageTraced, UploadCompleted
from stores.kafka_admin import KafkaAdmin
from stores.kafka_reader import partition_of, read
from streams.topology import BY_NAME
from topics import catalog as t
from topics.record import Record
from topics.topic import Topic

ACCEPTED = "complete"
"""The first line: the API accepted the upload. No stage waited or worked for it."""


@click.command("trace")
@click.argument("photo_id")
@json_option
def command(photo_id: str, as_json: bool) -> None:
    """Every stage one photo went through, with times."""
    if not ids.is_id(photo_id, "ph_"):
        raise Refused(f"{photo_id!r} is no photo id")
    stages = sorted(_lines(settings_tree.load(), photo_id), key=lambda line: line[0])
    if not stages:
        raise Refused(f"no stage knows {photo_id}")
    document = {"photo_id": photo_id, "stages": [line for _, line in stages]}
    show(document, as_json, "stages")


def stage_times(settings: Settings, photo_ids: Collection[str]) -> Mapping[str, list[float]]:
    """What each record of these photos' ways took in each stage: wait and work, milliseconds.

    One reading of the topic from the oldest of the photos to its present end. Stages come in the
    pipeline's order. Raises StoreAway, Transient.
    """
    if not photo_ids:
        return {}
    bootstrap, wanted = settings.address("kafka"), set(photo_ids)
    admin = KafkaAdmin(bootstrap)
    places = [(t.STAGE_TRACED.name, each) for each in range(t.STAGE_TRACED.partitions)]
    first = admin.at_time(places, min(map(ids.time_of, wanted)))
    ends = admin.ends(places)
    ranges = {place: (first[place], ends[place]) for place in places if first[place] >= 0}
    took: defaultdict[str, list[float]] = defaultdict(list)
    for record in read(bootstrap, ranges):
        traced = _decoded(t.STAGE_TRACED, record)
        if traced is not None and traced.photo_id in wanted:
            took[traced.stage].append(traced.wait_ms + traced.work_ms)
    return {stage: took[stage] for stage in BY_NAME if stage in took}


def _lines(settings: Settings, photo_id: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(when, line) of everything known; times in Unix milliseconds. Raises StoreAway."""
    for record in _records(settings, t.UPLOAD_COMPLETED, photo_id):
        accepted = _decoded(t.UPLOAD_COMPLETED, record)
        if accepted is not None:
            yield accepted.occurred_at, _accepted_line(accepted, record)
    for record in _records(settings, t.STAGE_TRACED, photo_id):
        traced = _decoded(t.STAGE_TRACED, record)
        if traced is not None:
            yield traced.occurred_at, _stage_line(traced)


def _records(settings: Settings, topic: Topic[Any], photo_id: str) -> Iterator[Record]:
    """Records with this key since the photo's id was made."""
    bootstrap = settings.address("kafka")
    admin = KafkaAdmin(bootstrap)
    key = photo_id.encode()
    place = (topic.name, partition_of(key, topic.partitions))
    first = admin.at_time([place], ids.time_of(photo_id))[place]
    if first >= 0:
        for record in read(bootstrap, {place: (first, admin.ends([place])[place])}):
            if record.key == key:
                yield record


def _decoded(topic: Topic[Any], record: Record) -> Any:  # noqa: ANN401 - the topic's event, or None
    try:
        return topic.codec.decode(record.value)
    except BadAvro:
        return None


def _accepted_line(event: UploadCompleted, record: Record) -> dict[str, Any]:
    return {
        "stage": ACCEPTED,
        "at": rfc3339(event.occurred_at),
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "wait_ms": 0,
        "work_ms": 0,
        "outcome": "done",
    }


def _stage_line(event: StageTraced) -> dict[str, Any]:
    return {
        "stage": event.stage,
        "at": rfc3339(event.occurred_at),
        "topic": event.topic,
        "partition": event.partition,
        "offset": event.offset,
        "wait_ms": event.wait_ms,
        "work_ms": event.work_ms,
        "outcome": event.outcome,
    }

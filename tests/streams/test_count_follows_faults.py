"""Follower counts on real Faust tables: exact after kills, a lost disk and a whole replay (I6)."""

import json
import random
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from domain.settings import Settings
from schemas.events import FollowCreated, FollowDeleted
from tests.fresh import fresh_id, now_ms
from tests.streams.rig import Rig, unique, until
from tests.streams.table_stage import table_stage

FOLLOWEES = 6
FOLLOWERS = 12

Change = FollowCreated | FollowDeleted


@pytest.fixture
async def rig(settings: Settings, tmp_path: Path) -> AsyncIterator[Rig]:
    name = unique("follows")
    stage = table_stage(name, tmp_path)
    rig = Rig(settings, stage, tmp_path, ["tests.streams.table_stage", name, str(tmp_path)])
    rig.create_topics()
    yield rig
    await rig.close()


def stream_of_changes(count: int) -> list[Change]:
    """Follows and unfollows of a few edges, versions rising per edge."""
    dice = random.Random(7)  # noqa: S311 - the same graph every time
    versions: Counter[tuple[str, str]] = Counter()
    changes: list[Change] = []
    for _ in range(count):
        edge = (f"u_{dice.randrange(FOLLOWERS)}", f"u_star{dice.randrange(FOLLOWEES)}")
        versions[edge] += 1
        kind = FollowCreated if versions[edge] % 2 else FollowDeleted
        changes.append(
            kind(
                event_id=fresh_id(),
                occurred_at=now_ms(),
                version=versions[edge],
                follower_id=edge[0],
                followee_id=edge[1],
            )
        )
    return changes


def truth(changes: Sequence[Change]) -> dict[str, int]:
    """What the last change of every edge says."""
    last = {(change.follower_id, change.followee_id): change for change in changes}
    counts = Counter({change.followee_id: 0 for change in changes})
    counts.update(c.followee_id for c in last.values() if isinstance(c, FollowCreated))
    return dict(counts)


async def publish(rig: Rig, changes: Sequence[Change]) -> None:
    created, deleted = rig.stage.reads
    await rig.publish(created, [each for each in changes if isinstance(each, FollowCreated)])
    await rig.publish(deleted, [each for each in changes if isinstance(each, FollowDeleted)])


def counts(rig: Rig) -> dict[str, int]:
    file = rig.folder / "counts.json"
    stored: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    return stored


async def test_counts_stay_exact_through_kills_lost_disks_and_replays(rig: Rig) -> None:
    changes = stream_of_changes(1000)
    for part in range(2):  # kill -9 while changes flow
        await publish(rig, changes[part * 400 : (part + 1) * 400])
        before = counts(rig)
        rig.start()
        await until(lambda seen=before: counts(rig) != seen)  # type: ignore[misc] # a default binds it
        rig.send(signal.SIGKILL)
        await rig.ended()
    rig.start()
    await publish(rig, changes[800:])
    await rig.caught_up()
    assert counts(rig) == truth(changes)
    rig.send(signal.SIGTERM)
    assert await rig.ended(15.0) == 0

    shutil.rmtree(rig.folder / "faust")  # the disk is gone: the changelog has it all
    (rig.folder / "counts.json").unlink()
    newcomer = [follow("u_new", followee) for followee in truth(changes)]
    await publish(rig, newcomer)
    rig.start()
    await rig.caught_up()
    assert counts(rig) == truth([*changes, *newcomer])
    await publish(rig, changes)  # and both topics come again, twice
    await publish(rig, changes)
    await rig.caught_up()
    assert counts(rig) == truth([*changes, *newcomer])


def follow(follower_id: str, followee_id: str) -> FollowCreated:
    return FollowCreated(
        event_id=fresh_id(),
        occurred_at=now_ms(),
        version=1,
        follower_id=follower_id,
        followee_id=followee_id,
    )

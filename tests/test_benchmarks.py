"""What a benchmark says of a run that went wrong, and the world it begins with."""

import asyncio
from typing import Any, cast

import pytest

from bench import adaptive
from bench.adaptive import Crowd, Show
from bench.tools.gate import Gate
from bench.tools.world import World as BenchWorld
from domain.settings import Feed, Settings
from tests.feed_world import World, photo


async def world_of(people: int) -> tuple[BenchWorld, World]:
    """A benchmark's world over twins."""
    twins: Any = await World(Feed(), people).settle()
    twins.settings = Settings()
    return BenchWorld(twins), cast("World", twins)


async def show_in(world: BenchWorld) -> Show:
    return Show(world, Crowd(["u_a"], ["u_b"], ["u_c"]), Gate(0), 0.01)


@pytest.mark.parametrize("reached", [False, True])
async def test_a_phase_that_is_not_reached_is_a_missed_row(
    reached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> None:
        await asyncio.Event().wait()

    for step in ("_post", "_look", "_watch"):
        monkeypatch.setattr(Show, step, nothing)
    monkeypatch.setattr(adaptive, "_WARM_S", 0.01)
    world, _ = await world_of(1)
    show = await show_in(world)
    if reached:
        show.track.path.append((0.0, 1000))
    said = await show.perform()
    audit = {"lost": 0, "ghosts": 0, "duplicates": 0}
    rows = {row.name: row for row in adaptive.figures(show, [], said, [], audit)}
    missed = rows["phases not reached"]
    assert (missed.verdict, missed.note) == (
        "MISSED",
        "the threshold falls" if reached else "a threshold",
    )
    for name in ("threshold, lowest", "largest step up", "command and metric that say otherwise"):
        assert rows[name].verdict == "MISSED"


async def test_whose_posts_are_pulled_from_the_start_tells_nobody_by_the_next() -> None:
    world, twins = await world_of(1)
    star = twins.people[0]
    await world.pull([photo(star, 1, 1)])
    assert await twins.celebrities.pulled_among([star]) == [star]
    assert not await twins.celebrities.start_pulling(star, "ph_00000000009")

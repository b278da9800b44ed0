"""post.published → fanout.chunk*: every follower is in exactly one chunk."""

import pytest

from domain.settings import Feed
from schemas.events import FanoutChunk
from streams.plan_fan_out import PlanFanOut
from tests.feed_world import World, photo, published
from topics.catalog import FANOUT_CHUNK


async def world_with(followers: int) -> World:
    world = await World(Feed(), followers + 1).settle()
    for follower in world.people[1:]:
        await world.follows.follow(follower, world.people[0], "e", 0)
    return world


async def plan(world: World, size: int) -> list[FanoutChunk]:
    """The chunks of a post of the first person."""
    emits = await PlanFanOut(world.follows, size)(published(photo(world.people[0], 1, 7)))
    assert all(emit.topic is FANOUT_CHUNK for emit in emits)
    return [emit.event for emit in emits if isinstance(emit.event, FanoutChunk)]


@pytest.mark.parametrize(("followers", "size", "chunks"), [(0, 3, 0), (3, 3, 1), (7, 3, 3)])
async def test_every_follower_is_in_one_chunk(followers: int, size: int, chunks: int) -> None:
    world = await world_with(followers)
    planned = await plan(world, size)
    assert len(planned) == chunks
    reached: list[str] = []
    for chunk in planned:
        bounds = chunk.after_id, chunk.upto_id
        reached += await world.follows.followers_between(world.people[0], *bounds)
    assert reached == world.people[1:]


async def test_a_retry_makes_the_same_events() -> None:
    world = await world_with(5)
    first, second = await plan(world, 2), await plan(world, 2)
    assert first == second
    assert len({chunk.event_id for chunk in first}) == 3
    assert len({FANOUT_CHUNK.key_of(chunk) for chunk in first}) == 3


async def test_a_chunk_survives_the_wire() -> None:
    world = await world_with(1)
    [chunk] = await plan(world, 2)
    codec = FANOUT_CHUNK.codec
    assert codec.decode(codec.encode(chunk)) == chunk

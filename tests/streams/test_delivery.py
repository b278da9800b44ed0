"""The sticky flag and its mirror, whoever sets, clears and looks at the same time."""

import random

import pytest

from stores.memory.postgres import MemoryCelebrities
from stores.memory.redis import MemoryFollowCache
from streams.delivery import CelebrityFlags
from tests.interleaving import Interleaving

STAR = "u_00000000001"


@pytest.mark.parametrize("seed", range(40))
async def test_the_mirror_ends_as_the_flag_does(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    for _ in range(25):
        celebrities, cache = MemoryCelebrities(), MemoryFollowCache()
        if chance.random() < 0.5:
            await celebrities.flag(STAR, 10_000, 1)
        if chance.random() < 0.5:
            await cache.put_celebrity(STAR, flagged=await celebrities.is_flagged(STAR))
        race = Interleaving(chance)
        flags = CelebrityFlags(race.stepped(celebrities), race.stepped(cache))
        actors = [flags.set(STAR, 10_001, 2), flags.is_set(STAR), flags.clear(STAR)]
        if chance.random() < 0.3:
            actors.append(flags.clear(STAR))
        await race.run(*actors)
        mirrored = await cache.is_celebrity(STAR)
        assert mirrored in (None, await celebrities.is_flagged(STAR))


async def test_clearing_takes_the_mirror_away_though_the_flag_was_gone() -> None:
    celebrities, cache = MemoryCelebrities(), MemoryFollowCache()
    await cache.put_celebrity(STAR, flagged=True)
    assert not await CelebrityFlags(celebrities, cache).clear(STAR)
    assert await cache.is_celebrity(STAR) is False

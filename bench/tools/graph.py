"""A graph of followers with a power law's tail, as the port that the stages read it by.

The number of followers of the author of rank r falls as r^-0.9 from the most followed one: Zipf's
law, close to what is measured for social networks (Kwak et al., "What is Twitter, a social network
or a news media?", WWW 2010). Who follows is drawn evenly, from a fixed seed.
"""

import random
from bisect import bisect_right
from dataclasses import dataclass

from domain.ids import spell

_EXPONENT, _SEED = 0.9, 7


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """`followers` of each author are sorted, as the store has them.

    It stands for `domain.ports.graph.Follows` where only followers are asked for.
    """

    people: list[str]
    followers: dict[str, list[str]]

    async def followers_between(self, followee_id: str, after_id: str, upto_id: str) -> list[str]:
        """Present followers with after_id < id <= upto_id, sorted ("" is the start)."""
        found = self.followers[followee_id]
        return found[bisect_right(found, after_id) : bisect_right(found, upto_id)]

    def chunks(self, author: str, size: int) -> list[tuple[str, str]]:
        """The ranges (after_id, upto_id] of at most `size` followers."""
        ends = self.followers[author][size - 1 :: size]
        if len(self.followers[author]) % size:
            ends = [*ends, self.followers[author][-1]]
        return list(zip(["", *ends[:-1]], ends, strict=True))


def power_law(people: int, most: int) -> PowerLaw:
    """The graph of so many people of whom the first has `most` followers."""
    chance = random.Random(_SEED)  # noqa: S311 - test data
    names = [f"u_{spell(1_000_000 + number)}" for number in range(people)]
    followers = {
        author: sorted(set(chance.sample(names, max(1, int(most / rank**_EXPONENT)))) - {author})
        for rank, author in enumerate(names, 1)
    }
    return PowerLaw(names, followers)

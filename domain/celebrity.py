"""Follower counts and the celebrity decision, folded from follow edges (pure; seed section 10).

An edge's state is (version, following). Whatever order events come in, however often, the newest
version stays, so a count derived from the states is exact.
"""

from collections import Counter
from collections.abc import Iterable

from domain.entities import Delivery

EdgeState = tuple[int, bool]
"""(version, following) of a follower → followee edge."""


def newest(stored: EdgeState | None, seen: EdgeState) -> EdgeState:
    """The state to keep. Equal versions are the same change, seen again."""
    return seen if stored is None or seen[0] >= stored[0] else stored


def step(before: EdgeState | None, after: EdgeState) -> int:
    """What a changed edge adds to its followee's count: -1, 0 or 1."""
    return int(after[1]) - int(before is not None and before[1])


def totals(edges: Iterable[tuple[str, EdgeState]]) -> Counter[str]:
    """Present followers of each followee, from (followee, state) of every edge."""
    return Counter(followee for followee, (_, following) in edges if following)


def delivery(followers: int, threshold: int) -> Delivery:
    """How the next post of an author without the flag is delivered."""
    return Delivery.PULL if is_celebrity(followers, threshold) else Delivery.PUSH


def is_celebrity(followers: int, threshold: int) -> bool:
    """Whether an author with so many followers becomes one; the flag then stays."""
    return followers >= threshold

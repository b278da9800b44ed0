"""Rebuilds feeds from PostgreSQL and Cassandra, while they are read (I2).

A feed is never blank meanwhile: what the sources hold is merged in, as a build of a cold feed does,
and only then what was there before and isn't in the sources is taken out.

Why nothing can be lost to the second step. Whatever was in the set before (S) had its row and its
edge by then, and the sources (R) are read after S: what R lacks wasn't in the feed at R. It may be
again by the time it is removed (D), by a refollow whose refill came between. So the graph is read
once more after D, and the feed is rebuilt again unless it stands still; a refill of a later
refollow comes after D by itself.

The list of an author whose posts are pulled is shared by all followers: one that isn't what the
sources say is made cold, and its next reader builds it.
"""

from dataclasses import dataclass

from api.feed.durable import DurableFeed, PostsByUser
from domain.entities import FeedEntry
from domain.errors import Transient
from domain.feed import place, truncation
from domain.feed_digest import digest
from ops.feed.ports import TruthStores
from ops.feed.sources import WholeSet, whole

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One feed afterwards. `digest` is of the set above its floor, `wanted` of the sources."""

    user_id: str
    entries: int
    digest: str
    wanted: str

    @property
    def equal(self) -> bool:
        """Whether the set is what the durable stores say."""
        return self.digest == self.wanted


class Rebuild:
    """Rebuilds one feed after the other; safe to repeat, and beside readers and fan-out.

    `photos` is asked instead of the stores' own, so that its reads can be counted.
    """

    def __init__(self, stores: TruthStores, photos: PostsByUser, cap: int) -> None:
        self._stores = stores
        self._photos = photos
        self._cap = cap
        self._lists: set[str] = set()

    async def __call__(self, user_id: str) -> Rebuilt:
        """Rebuild until set and sources agree; the last try's result, agreeing or not.

        Posts that come in between are the usual reason for another try.
        Raises StoreAway, Transient.
        """
        rebuilt = None
        for _ in range(_TRIES):
            rebuilt = await self._once(user_id) or rebuilt
            if rebuilt and rebuilt.equal:
                return rebuilt
        if rebuilt is None:
            raise Transient(f"the feed of {user_id} changes too fast")
        return rebuilt

    async def _once(self, user_id: str) -> Rebuilt | None:
        """One try; None when somebody dropped or built the feed, or the graph changed meanwhile."""
        stores = self._stores
        token = await stores.timelines.begin_build(user_id)
        before = await whole(stores.timelines, user_id)
        follows = await stores.follows.following(user_id)
        pulled = await stores.celebrities.pulled_among(follows)
        for author in pulled:
            await self._check_list(author)
        found = await DurableFeed(self._photos, follows, None, self._cap).read()
        for author in set(before.celebrities if before else ()).difference(pulled):
            await stores.timelines.remove_author(user_id, author)
        if not await stores.timelines.finish_build(user_id, token, found, pulled):
            return None
        if before:
            await stores.timelines.remove(user_id, self._foreign(before, found))
        after = await whole(stores.timelines, user_id)
        if after is None or follows != await stores.follows.following(user_id):
            return None
        wanted = [e for e in found if after.floor is None or place(e) > after.floor]
        return Rebuilt(user_id, len(after.entries), digest(after.entries), digest(wanted))

    async def _check_list(self, author: str) -> None:
        """Make a list cold that isn't what the sources say; each is looked at once.

        A post that comes between the two readings costs a build for nothing.
        """
        if author in self._lists:
            return
        self._lists.add(author)
        held = await whole(self._stores.pulls, author)
        if held is None:
            return
        found = await self._photos.by_user(author, None, self._cap)
        floors = [floor for floor in (held.floor, truncation(found, self._cap)) if floor]
        cut = max(floors, default=None)
        ours, theirs = (
            {each for each in entries if cut is None or place(each) > cut}
            for entries in (held.entries, found)
        )
        if ours != theirs:
            await self._stores.pulls.drop(author)

    def _foreign(self, before: WholeSet, found: list[FeedEntry]) -> list[FeedEntry]:
        """Members that the sources don't have; where those were cut off, nothing is known.

        Members are told apart as the set does it, without their place: one at a wrong place was
        put right by the merge and stays.
        """
        floor = truncation(found, self._cap)
        ours = {(entry.post_id, entry.author_id) for entry in found}
        known = (e for e in before.entries if floor is None or place(e) > floor)
        return [entry for entry in known if (entry.post_id, entry.author_id) not in ours]

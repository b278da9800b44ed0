"""I1, I2, I4 once more, smaller, with every store a real server and the stages run by hand."""

import asyncio
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.entities import Edge, FeedEntry
from domain.settings import Feed
from schemas.events import FanoutChunk, FollowCreated, FollowDeleted
from stores.connect import Stores
from stores.redis_timelines import RedisTimelines
from streams.plan_fan_out import PlanFanOut
from streams.refill_feeds import RefillFeeds
from streams.write_feeds import WriteFeeds
from tests.feed_world import above, entry_of, ids_of, posted, published, reader_of, walk
from tests.fresh import fresh_id
from tests.people import add_people

FEED = Feed(cap=20, trim_slack=3, chunk_followers=2)
AT = 1_800_000_000_000


class SmallFeeds:
    """The real stores, with feeds so small that they are trimmed all the time."""

    def __init__(self, stores: Stores) -> None:
        self.users = stores.users
        self.follows = stores.follows
        self.photos = stores.photos
        self.reactions = stores.reactions
        self.feed = FEED
        self.follow_cache = stores.follow_cache
        self.post_cache = stores.post_cache
        self.reaction_cache = stores.reaction_cache
        self.shelf = stores.shelf
        self.celebrities = stores.celebrities
        self.push_limit = stores.push_limit
        self.timelines = RedisTimelines(stores.redis_server, FEED)
        self.pulls = RedisTimelines(stores.redis_server, FEED, "pulls")


class Play:
    """A viewer and two authors; posts share milliseconds."""

    def __init__(self, small: SmallFeeds, people: list[str]) -> None:
        self.small = small
        self.viewer, *self.authors = people
        self.posts: list[FeedEntry] = []
        self.reader = reader_of(small)
        self.plan = PlanFanOut(small, FEED)
        self.write = WriteFeeds(small.follows, small.timelines, small.celebrities)
        self.refill = RefillFeeds(small, FEED.cap)

    async def post(self, author: str, at: int) -> None:
        post = await posted(self.small.photos, author, AT + at)
        self.posts.append(entry_of(post))
        event = published(post)
        emits = await self.plan(event)
        await self.plan.conclude(event, emits)
        for emit in emits:
            assert isinstance(emit.event, FanoutChunk)
            await self.write(emit.event)

    async def follow(self, author: str) -> None:
        edge = await self.small.follows.follow(self.viewer, author, fresh_id(), AT)
        await self.refill(_event(FollowCreated, edge))

    async def unfollow(self, author: str) -> None:
        edge = await self.small.follows.unfollow(self.viewer, author, fresh_id(), AT)
        await self.refill(_event(FollowDeleted, edge))

    async def check(self) -> None:
        """Read page by page, as it is and rebuilt; the set is exact above its floor.

        But for who was unfollowed while it was built: that is hidden when it is read.
        """
        followees = set(await self.small.follows.following(self.viewer))
        want = sorted((post for post in self.posts if post.author_id in followees), reverse=True)
        for _ in ("as it is", "rebuilt"):
            seen = await walk(lambda before: self.reader.home(self.viewer, before, 7), 7)
            assert seen == ids_of(want)
            page = await self.small.timelines.page(self.viewer, None, 1000)
            assert page is not None
            stored = [entry for entry in page.entries if entry.author_id in followees]
            assert stored == above(want, page.floor)
            await self.small.timelines.drop(self.viewer)


def _event(kind: type[FollowCreated | FollowDeleted], edge: Edge) -> FollowCreated | FollowDeleted:
    return kind(
        event_id=fresh_id(),
        occurred_at=AT,
        version=edge.version,
        follower_id=edge.follower_id,
        followee_id=edge.followee_id,
    )


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    scripts=st.lists(
        st.lists(
            st.sampled_from(["post", "post", "post", "follow", "unfollow", "read", "evict"]),
            min_size=1,
            max_size=12,
        ),
        min_size=2,
        max_size=3,
    ),
    seed=st.integers(0, 1 << 32),
)
async def test_feeds_on_servers_are_their_follows_and_posts(
    any_stores: Stores, scripts: list[list[str]], seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - a test's chance
    play = Play(SmallFeeds(any_stores), await add_people(any_stores.users, 3))
    for _ in range(chance.randrange(30)):
        await play.post(chance.choice(play.authors), chance.randrange(4))
    await play.follow(play.authors[0])

    async def act(script: list[str]) -> None:
        for step in script:
            author = chance.choice(play.authors)
            if step == "post":
                await play.post(author, chance.randrange(8))
            elif step == "follow":
                await play.follow(author)
            elif step == "unfollow":
                await play.unfollow(author)
            elif step == "read":
                await play.reader.home(play.viewer, None, 5)
            else:
                await play.small.timelines.drop(play.viewer)

    await asyncio.gather(*map(act, scripts))
    await play.check()
    await play.reader.close()

"""post.published → fanout.chunk*: decided once; every follower is in exactly one chunk, or none."""

from collections.abc import Mapping
from typing import Any, Never

import pytest

from domain.entities import Delivery, FanOut, FeedEntry, Photo
from domain.errors import StoreAway, Transient
from domain.settings import Feed, Retries
from schemas.events import FanoutChunk
from stores.memory.kafka import MemoryEventLog
from stores.memory.redis import MemoryFollowCache
from streams.plan_fan_out import PlanFanOut
from streams.runtime.runner import StageRunner
from streams.topology import BY_NAME
from tests.feed_world import Life, World, entry_of, ids_of, photo, published
from topics.catalog import FANOUT_CHUNK, POST_PUBLISHED
from topics.record import Record
from topics.topic import Topic

STAR = 0
ONCE = Retries(tries=1, rounds=0)


async def world_with(followers: int, threshold: int = 10_000) -> World:
    world = await World(Feed(celebrity_threshold=threshold), followers + 1).settle()
    for follower in world.people[1:]:
        await world.follows.follow(follower, world.people[STAR], "e", 0)
    return world


async def posted(world: World, number: int = 1) -> Photo:
    """The row of a post of the first person."""
    post = photo(world.people[STAR], number, number)
    await world.photos.add(post)
    return post


async def chunks_of(
    world: World, post: Photo, size: int = 2, *, acknowledged: bool = True
) -> list[FanoutChunk]:
    """What a new process plans for the post; Kafka has it all, or nothing."""
    plan = PlanFanOut(world, world.feed.model_copy(update={"chunk_followers": size}), lambda: 5)
    emits = await plan(published(post))
    if acknowledged:
        await plan.conclude(published(post), emits)
    assert all(emit.topic is FANOUT_CHUNK for emit in emits)
    return [emit.event for emit in emits if isinstance(emit.event, FanoutChunk)]


async def reached(world: World, chunks: list[FanoutChunk]) -> list[str]:
    """Followers in the chunks' ranges."""
    found: list[str] = []
    for chunk in chunks:
        bounds = chunk.after_id, chunk.upto_id
        found += await world.follows.followers_between(world.people[STAR], *bounds)
    return found


async def decision(world: World, post: Photo) -> FanOut | None:
    row = await world.photos.get(post.photo_id)
    assert row is not None
    return row.fan_out


async def pull_list(world: World) -> list[FeedEntry] | None:
    page = await world.pulls.page(world.people[STAR], None, 10)
    return None if page is None else page.entries


async def build_pull_list(world: World) -> None:
    star = world.people[STAR]
    await world.pulls.finish_build(star, await world.pulls.begin_build(star), [])


class RefusingLog(MemoryEventLog):
    """Refuses chunks at first."""

    refuses = True

    async def publish(
        self, topic: Topic[Any], event: Any, headers: Mapping[str, bytes] | None = None
    ) -> None:
        """Raises Transient."""
        if self.refuses and topic is FANOUT_CHUNK:
            raise Transient("kafka: the message is too large")
        await super().publish(topic, event, headers)


def record_of(post: Photo) -> Record:
    """Its event as it is read."""
    value = POST_PUBLISHED.codec.encode(published(post))
    return Record(POST_PUBLISHED.name, 0, 1, post.user_id.encode(), value, (), 5)


def fails(*_: object) -> Never:
    """A server that answers that it can't."""
    raise Transient("too much to do")


@pytest.mark.parametrize(("followers", "size", "chunks"), [(0, 3, 0), (3, 3, 1), (7, 3, 3)])
async def test_every_follower_is_in_one_chunk(followers: int, size: int, chunks: int) -> None:
    world = await world_with(followers)
    planned = await chunks_of(world, await posted(world), size)
    assert len(planned) == chunks
    assert await reached(world, planned) == world.people[1:]
    assert not any(chunk.mark for chunk in planned)


async def test_a_retry_makes_the_same_events() -> None:
    world = await world_with(5)
    post = await posted(world)
    first, second = await chunks_of(world, post), await chunks_of(world, post)
    assert first == second
    assert len({chunk.event_id for chunk in first}) == 3
    assert len({FANOUT_CHUNK.key_of(chunk) for chunk in first}) == 3


@pytest.mark.parametrize("threshold", [1, 2])
async def test_a_chunk_survives_the_wire(threshold: int) -> None:
    world = await world_with(1, threshold)
    [chunk] = await chunks_of(world, await posted(world))
    codec = FANOUT_CHUNK.codec
    assert codec.decode(codec.encode(chunk)) == chunk


async def test_a_chunk_of_before_the_marks_delivers_its_post() -> None:
    world = await world_with(1)
    [chunk] = await chunks_of(world, await posted(world))
    written = bytearray(FANOUT_CHUNK.codec.encode(chunk)[:-1])
    written[1:5] = (7).to_bytes(4, "big")  # the id of the schema's first version
    assert FANOUT_CHUNK.codec.decode(bytes(written)) == chunk


async def test_the_decision_is_on_the_row_with_its_event_and_time() -> None:
    world = await world_with(2, threshold=3)
    post = await posted(world)
    await chunks_of(world, post)
    assert await decision(world, post) == FanOut(Delivery.PUSH, published(post).event_id, 5)


async def test_from_the_threshold_on_posts_are_pulled_and_the_first_tells_the_followers() -> None:
    world = await world_with(3, threshold=3)
    first, second = await posted(world, 1), await posted(world, 2)
    marks = await chunks_of(world, first)
    assert await reached(world, marks) == world.people[1:]
    assert all(chunk.mark for chunk in marks)
    assert await chunks_of(world, second) == []
    told = await decision(world, second)
    assert told is not None
    assert told.delivery is Delivery.PULL


async def test_the_posts_of_a_pulled_author_are_spread_and_those_of_others_are_not() -> None:
    world = await world_with(3, threshold=3)
    await world.celebrities.set_threshold(100)
    await chunks_of(world, await posted(world, 1))
    assert world.photos.hot == {}
    await world.celebrities.set_threshold(3)
    await chunks_of(world, await posted(world, 2))
    assert list(world.photos.hot) == [world.people[0]]


async def test_a_crash_between_the_beginning_and_its_chunks_loses_no_mark() -> None:
    world = await world_with(3, threshold=3)
    first = await posted(world)
    await chunks_of(world, first, acknowledged=False)
    await world.celebrities.set_threshold(100)  # nor would it be decided so again
    again = await chunks_of(world, first)
    assert await reached(world, again) == world.people[1:]
    assert all(chunk.mark for chunk in again)


@pytest.mark.parametrize("step", ["flag_hot", "chunk_bounds"])
async def test_where_the_beginning_ended_in_the_dead_letters_the_next_post_tells(step: str) -> None:
    """It would be replayed some day; until then the feeds of all followers lacked all posts."""
    world = await world_with(3, threshold=3)
    first, second, third = [await posted(world, number) for number in (1, 2, 3)]
    store = world.photos if step == "flag_hot" else world.follows
    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr(store, step, fails)
        with pytest.raises(Transient):
            await chunks_of(world, first)
    for _ in range(2):  # a crash before it was published brings it again
        marks = await chunks_of(world, second)
        assert await reached(world, marks) == world.people[1:]
        assert all(chunk.mark for chunk in marks)
    assert world.photos.hot
    assert await chunks_of(world, third) == []
    assert await chunks_of(world, first) == [], "the second has told"


async def test_where_kafka_refused_the_marks_for_good_the_next_post_tells() -> None:
    world = await world_with(3, threshold=3)
    posts = [await posted(world, number) for number in (1, 2, 3)]
    log, told = RefusingLog(), []
    runner = StageRunner(BY_NAME["plan_fan_out"], PlanFanOut(world, world.feed), log, ONCE)
    for post in posts:
        await runner.process(record_of(post))
        told.append({chunk.post_id for chunk in log.events(FANOUT_CHUNK) if chunk.mark})
        log.refuses = False
    assert told == [set(), {posts[1].photo_id}, {posts[1].photo_id}]
    assert len([each for each in log.records if each.topic == "plan_fan_out.dlq"]) == 1


async def test_a_pushed_post_tells_nothing_of_pulling() -> None:
    world = await world_with(3)
    star = world.people[STAR]
    await world.celebrities.start_pulling(star, "ph_00000000000")
    await chunks_of(world, await posted(world))
    assert await world.celebrities.start_pulling(star, "ph_00000000009")


async def test_the_post_that_pulling_began_with_tells_the_followers_though_it_is_deleted() -> None:
    world = await world_with(3, threshold=3)
    first = await posted(world, 1)
    await build_pull_list(world)
    await chunks_of(world, first)
    await world.pulls.remove(world.people[STAR], [entry_of(first)])
    await world.photos.delete(first.photo_id)
    assert await reached(world, await chunks_of(world, first)) == world.people[1:]
    assert await pull_list(world) == []


async def test_nothing_is_written_of_a_post_that_was_deleted_before() -> None:
    world = await world_with(3)
    pushed, waiting = await posted(world, 1), await posted(world, 2)
    await chunks_of(world, pushed)
    for post in (pushed, waiting):
        await world.photos.delete(post.photo_id)
        assert await chunks_of(world, post) == []


async def test_a_redelivered_post_keeps_its_decision() -> None:
    world = await world_with(3)
    post = await posted(world)
    pushed = await chunks_of(world, post)
    await world.celebrities.flag(world.people[STAR], 3, 0)
    assert await chunks_of(world, post) == pushed
    assert not any(chunk.mark for chunk in pushed)


async def test_the_flag_is_found_in_postgres_when_redis_was_emptied() -> None:
    world = await world_with(3)
    star = world.people[STAR]
    await world.celebrities.flag(star, 10_000, 0)
    vars(world.follow_cache).update(vars(MemoryFollowCache()))
    chunks = await chunks_of(world, await posted(world))
    assert all(chunk.mark for chunk in chunks)
    assert await world.follow_cache.is_celebrity(star) is True


async def test_a_flag_that_cannot_be_read_is_waited_for_and_nothing_is_decided() -> None:
    world = await world_with(3)

    async def away(user_id: str) -> bool | None:
        raise StoreAway(user_id)

    world.follow_cache.is_celebrity = away  # type: ignore[method-assign] # as if it were away
    post = await posted(world)
    with pytest.raises(StoreAway):
        await chunks_of(world, post)
    assert await decision(world, post) is None


async def test_the_cached_count_decides_and_is_asked_for_once_a_minute() -> None:
    world = await world_with(3, threshold=5)
    star = world.people[STAR]
    plan = PlanFanOut(world, world.feed)
    await world.follow_cache.put_follower_count(star, 5)
    assert all(emit.event.mark for emit in await plan(published(await posted(world, 1))))  # type: ignore[attr-defined] # chunks all
    await world.follow_cache.put_follower_count(star, 4)
    await plan(published(second := await posted(world, 2)))
    told = await decision(world, second)
    assert told is not None
    assert told.delivery is Delivery.PULL


async def test_after_a_clear_posts_are_pushed_again_and_stay_in_the_pull_list() -> None:
    world = await world_with(3, threshold=5)
    star = world.people[STAR]
    await world.celebrities.flag(star, 5, 0)
    await build_pull_list(world)
    pulled, pushed = await posted(world, 1), await posted(world, 2)
    await chunks_of(world, pulled)
    await world.celebrities.clear(star)
    await world.follow_cache.put_celebrity(star, flagged=False)
    assert not any(chunk.mark for chunk in await chunks_of(world, pushed))
    assert await pull_list(world) == [entry_of(pushed), entry_of(pulled)]
    assert await world.celebrities.pulled_among([star]) == [star]


async def test_an_author_nobody_pulls_has_no_pull_list() -> None:
    world = await world_with(1)
    await chunks_of(world, await posted(world))
    assert not await world.pulls.exists(world.people[STAR])


async def test_chunks_that_a_killed_writer_left_are_written_by_the_next() -> None:
    life = Life(await world_with(4))
    world, post = life.world, await posted(life.world)
    for follower in world.people[1:]:
        await world.timelines.finish_build(
            follower, await world.timelines.begin_build(follower), []
        )
    first, second = await chunks_of(world, post)
    await life.write(first)  # acknowledged or not: it may come again
    for chunk in (first, second):
        await life.write(chunk)
    for follower in world.people[1:]:
        page = await world.timelines.page(follower, None, 5)
        assert page is not None
        assert ids_of(page.entries) == [post.photo_id]

"""What no stage has handled yet is listed: between a group's offset and the end, retries too."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from domain.settings import Settings
from ops.feed.under_way import NEVER, Unhandled
from schemas.events import FollowCreated, PostDeleted
from stores.connect import Stores
from stores.kafka_admin import KafkaAdmin
from streams.runtime.dead_letters import Failure
from streams.runtime.stage import Stage
from tests.fresh import fresh_id, now_ms
from topics.plan import Spec
from topics.topic import Topic


@dataclass(frozen=True)
class SideTopic(Topic[Any]):
    """A topic of any name that is written with a registered schema."""

    like: str = ""

    @property
    def subject(self) -> str:
        """That of the topic it is like."""
        return f"{self.like}-value"


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    """A group that nobody is a member of, with topics of its own."""
    name = fresh_id("under-way-")
    posts = SideTopic(f"{name}.posts", PostDeleted, "user_id", 1, like="post.deleted")
    follows = SideTopic(f"{name}.follows", FollowCreated, "followee_id", 1, like="follow.created")
    made = Stage(name, reads=(posts, follows), writes=(), make=lambda _, __: None)  # type: ignore[arg-type,return-value] # never made
    admin = KafkaAdmin(settings.address("kafka"))
    counts = {posts.name: 1, follows.name: 1, made.retry.name: 1}
    admin.create(Spec(topic, count, 1, {}, keyed=True) for topic, count in counts.items())
    yield made
    admin.delete(counts)


def gone(post_id: str) -> PostDeleted:
    return PostDeleted(
        event_id=fresh_id(),
        occurred_at=now_ms(),
        version=1,
        post_id=post_id,
        user_id=fresh_id("u_"),
        published_at=now_ms(),
    )


async def test_only_what_is_behind_the_offset_is_handled(
    settings: Settings, stores: Stores, stage: Stage
) -> None:
    posts, follows = stage.reads
    done, waits, again = (fresh_id("ph_") for _ in range(3))
    admin = KafkaAdmin(settings.address("kafka"))
    await stores.events.publish(posts, gone(done))
    places = [(posts.name, 0)]
    admin.commit(stage.name, admin.ends(places))
    await stores.events.publish(posts, gone(waits))
    edge = FollowCreated(
        event_id=fresh_id(),
        occurred_at=now_ms(),
        version=1,
        follower_id=fresh_id("u_"),
        followee_id=fresh_id("u_"),
    )
    await stores.events.publish(follows, edge)
    source = Failure(source_topic=posts.name, source_partition=0, source_offset=0)
    value = posts.codec.encode(gone(again))
    await stores.events.publish_raw(stage.retry.name, b"k", value, source.headers())
    unhandled = Unhandled(settings.address("kafka"), now_ms, (stage,))
    found = unhandled.read(0.0)
    assert found.posts == {waits, again}
    assert found.edges == {(edge.follower_id, edge.followee_id)}
    assert (found.since, found.edges_since) == (NEVER, NEVER)
    assert unhandled.read(5.0).edges_since <= now_ms() - 5000

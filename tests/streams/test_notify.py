"""Who is told of what, once."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from domain.entities import User
from domain.ids import derived
from domain.notify_rules import MENTIONS, decide, mentioned
from schemas.events import CommentCreated, FollowCreated, LikeCreated, NotificationRequested
from stores.memory.cassandra import MemoryNotifications
from stores.memory.postgres import MemoryUsers
from streams.notify import Notify
from tests.fresh import fresh_id

ANA, BEN, CLEO = (fresh_id("u_") for _ in range(3))
POST = fresh_id("ph_")
LIKE = LikeCreated(
    event_id=fresh_id(), occurred_at=5, version=1, post_id=POST, user_id=ANA, author_id=BEN
)
FOLLOW = FollowCreated(
    event_id=fresh_id(), occurred_at=5, version=1, follower_id=ANA, followee_id=BEN
)
COMMENT = CommentCreated(
    event_id=fresh_id(),
    occurred_at=5,
    version=1,
    comment_id=fresh_id("cm_"),
    post_id=POST,
    user_id=ANA,
    author_id=BEN,
    text="look, @cleo and @nobody",
)


def told(notices: object) -> list[tuple[str, str]]:
    return [(n.user_id, n.type) for n in notices]  # type: ignore[attr-defined] # a list of notices


def test_authors_and_the_followed_are_told() -> None:
    assert told(decide(LIKE)) == [(BEN, "like")]
    assert told(decide(FOLLOW)) == [(BEN, "follow")]
    assert told(decide(COMMENT, {"cleo": CLEO})) == [(BEN, "comment"), (CLEO, "mention")]


def test_nobody_is_told_of_their_own_doing() -> None:
    assert decide(replace(LIKE, author_id=ANA)) == []
    assert told(decide(replace(COMMENT, author_id=ANA), {"ana": ANA, "cleo": CLEO})) == [
        (CLEO, "mention")
    ]


def test_an_author_who_is_mentioned_too_is_told_once() -> None:
    assert told(decide(COMMENT, {"ben": BEN})) == [(BEN, "comment")]


def test_the_id_is_the_events_own_number_so_a_retry_makes_the_same() -> None:
    [first] = decide(LIKE)
    [again] = decide(replace(LIKE, event_id=derived(LIKE.event_id, "step")))
    assert first.notification_id == again.notification_id == f"nt_{LIKE.event_id}"


def test_names_are_found_where_people_write_them() -> None:
    text = "@Ana, (@ben_2) mail me@cleo.org @d.e. @ana @@no"
    assert mentioned(text) == ("ana", "ben_2", "d.e")
    assert mentioned("@mary-ann: hi, @x- @y.") == ("mary-ann", "x", "y")


@given(st.text())
def test_any_text_names_a_bounded_number_of_people(text: str) -> None:
    assert len(mentioned(text + " @a" * 3 + "".join(f" @n{n}" for n in range(50)))) <= MENTIONS


async def test_rows_are_stored_once_and_devices_asked_with_them() -> None:
    rows, users = MemoryNotifications(), MemoryUsers()
    await users.add(User(CLEO, "Cleo", "Cleo", "", None, 0), "hash")
    handle = Notify(rows, users)
    emits = await handle(COMMENT)
    assert list(await handle(COMMENT)) == list(emits)
    events = [emit.event for emit in emits]
    assert all(isinstance(event, NotificationRequested) for event in events)
    assert len({event.event_id for event in events}) == 2
    [kept] = await rows.page(CLEO, None, 10)
    assert (kept.type, kept.actor_id, kept.post_id) == ("mention", ANA, POST)
    assert await rows.unread_count(BEN) == 1

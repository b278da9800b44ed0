"""Kept pages: whose, how old, how many, and what they never show."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from api.feed.follow_changes import FOLLOWS_TOLD_S
from api.feed.last_pages import DELETED_TOLD_S, LastPages
from api.feed.page import Completeness, Page
from domain.entities import Counts, Cursor
from domain.ids import spell
from domain.post_json import join_post, post_bytes
from domain.settings import Degradation, Feed
from tests.feed_world import EDGE, T0, photo

ANN, BOB = "u_00000000ann", "u_00000000bob"
ROOMY = Degradation(kept_page_s=60, kept_pages_bytes=1_000_000)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def page_of(*numbers: int) -> Page:
    """Posts made at these milliseconds, and more of them."""
    posts = [photo(BOB, number, number) for number in numbers]
    person = b'{"user_id":"u"}'
    return Page(
        [join_post(post_bytes(post, EDGE), person, Counts(), liked=False) for post in posts],
        Cursor(T0 + numbers[-1], posts[-1].photo_id) if numbers else None,
        Completeness.COMPLETE,
    )


async def test_a_page_is_its_viewers_alone_and_not_copied() -> None:
    pages = LastPages(ROOMY, clock := Clock())
    page = page_of(3, 2, 1)
    pages.keep(ANN, page, clock.now)
    found = pages.get(ANN, 20)
    assert found == page
    assert found is not None
    assert all(ours is theirs for ours, theirs in zip(found.posts, page.posts, strict=True))
    assert pages.get(BOB, 20) is None


async def test_it_lives_a_minute_from_when_it_was_begun_to_be_read() -> None:
    pages = LastPages(ROOMY, clock := Clock())
    pages.keep(ANN, page_of(1), clock.now - 10)
    clock.now += 49
    assert pages.get(ANN, 20)
    clock.now += 2
    assert pages.get(ANN, 20) is None


async def test_fewer_posts_go_on_where_they_end() -> None:
    pages = LastPages(ROOMY, clock := Clock())
    whole = page_of(9, 5, 1)
    pages.keep(ANN, whole, clock.now)
    found = pages.get(ANN, 2)
    assert found is not None
    assert found.posts == whole.posts[:2]
    assert found.after == Cursor(T0 + 5, f"ph_{spell(5)}")


async def test_a_short_read_leaves_the_longer_page_while_that_lives() -> None:
    pages = LastPages(ROOMY, clock := Clock())
    usual, glance = page_of(*range(20, 0, -1)), page_of(20)
    pages.keep(ANN, usual, clock.now)
    clock.now += 30
    pages.keep(ANN, glance, clock.now)
    assert pages.get(ANN, 20) == usual
    clock.now += 31
    pages.keep(ANN, glance, clock.now)
    assert pages.get(ANN, 20) == glance, "its minute isn't renewed"


async def test_a_usual_page_replaces_any_and_so_does_a_whole_feed() -> None:
    pages = LastPages(ROOMY, clock := Clock())
    pages.keep(ANN, page_of(*range(100, 0, -1)), clock.now)
    usual = page_of(*range(101, 81, -1))
    pages.keep(ANN, usual, clock.now)
    assert pages.get(ANN, 100) == usual
    whole = replace(page_of(3, 2), after=None)
    pages.keep(ANN, whole, clock.now)
    assert pages.get(ANN, 20) == whole, "the others are gone"


async def test_a_deleted_post_is_not_shown_though_the_page_is_older_or_newer() -> None:
    pages = LastPages(ROOMY, clock := Clock())
    pages.keep(ANN, page_of(3, 2, 1), clock.now)
    pages.post_deleted(f"ph_{spell(2)}")
    found = pages.get(ANN, 20)
    assert found is not None
    assert found.posts == page_of(3, 1).posts
    pages.keep(ANN, page_of(3, 2, 1), clock.now)
    assert pages.get(ANN, 20) == found


async def test_unfollowing_forgets_the_page_and_one_under_way() -> None:
    pages = LastPages(ROOMY, clock := Clock())
    began = clock.now
    pages.keep(ANN, page_of(1), began)
    clock.now += 1
    pages.unfollowed(ANN)
    assert pages.get(ANN, 20) is None
    pages.keep(ANN, page_of(1), began)
    assert pages.get(ANN, 20) is None, "it was read before"
    clock.now += 1
    pages.keep(ANN, page_of(1), clock.now)
    assert pages.get(ANN, 20)


async def test_the_oldest_go_when_there_is_no_room() -> None:
    one = page_of(*range(20, 0, -1))
    size = sum(map(len, one.posts))
    pages = LastPages(Degradation(kept_pages_bytes=5 * size), clock := Clock())
    people = [f"u_{spell(number)}" for number in range(50)]
    for person in people:
        pages.keep(person, one, clock.now)
        pages.keep(people[0], one, clock.now)
    kept = [person for person in people if pages.get(person, 20)]
    assert kept == [people[0], *people[-len(kept) + 1 :]]
    assert 2 <= len(kept) <= 5


async def test_no_room_at_all_keeps_nothing() -> None:
    pages = LastPages(Degradation(kept_pages_bytes=0), clock := Clock())
    pages.keep(ANN, page_of(1), clock.now)
    assert pages.get(ANN, 20) is None


def test_an_unfollowing_is_known_for_longer_than_any_cached_follow_set_lives() -> None:
    with pytest.raises(ValidationError):
        Feed(following_ttl_s=round(FOLLOWS_TOLD_S))


def test_a_deletion_is_known_for_longer_than_any_ready_bytes_live() -> None:
    """Jitter lets them live a tenth longer; a replica that the primary left can't renew them."""
    with pytest.raises(ValidationError):
        Feed(post_ttl_s=round(DELETED_TOLD_S / 1.1))

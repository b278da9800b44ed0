"""Where a reader meets a post, source by source."""

import pytest

from domain.entities import Cursor, FeedEntry
from domain.feed_view import Sight, Sights, Source, View

ME, CELEBRITY = "u_1", "u_2"
FLOOR = Cursor(10, "ph_0")


def entry(at: int, author: str = ME) -> FeedEntry:
    return FeedEntry(at, f"ph_{at}", author)


def source(*times: int, author: str = ME, floor: Cursor | None = None) -> Source:
    return Source(frozenset(entry(at, author) for at in times), floor)


@pytest.mark.parametrize(
    ("view", "wanted", "sight"),
    [
        (View(source(30)), entry(30), Sight.HIDDEN),
        (View(source(30), passing={ME}), entry(30), Sight.IN_SET),
        (View(source(30), passing={ME}, gone={"ph_30"}), entry(30), Sight.GONE),
        (View(source(30), passing={ME}), entry(20), Sight.MISSING),
        (View(source(30), passing={ME}), FeedEntry(31, "ph_30", ME), Sight.MISSING),
        (View(None, passing={ME}), entry(30), Sight.COLD_FEED),
        (View(None, passing={ME}, unlisted={"ph_30"}), entry(30), Sight.UNLISTED),
        (View(source(30, floor=FLOOR), passing={ME}), entry(9), Sight.BELOW_FLOOR),
        (View(source(floor=FLOOR), passing={ME}), entry(30), Sight.BELOW_FLOOR),
        (View(source(30, floor=FLOOR), passing={ME}), entry(20), Sight.BELOW_FLOOR),
        (View(source(30, 12, floor=FLOOR), passing={ME}), entry(20), Sight.MISSING),
    ],
)
def test_a_set_alone_shows_what_it_holds_down_to_its_floor(
    view: View, wanted: FeedEntry, sight: Sight
) -> None:
    assert Sights(view).of(wanted) is sight


@pytest.mark.parametrize(
    ("pulled", "at", "sight"),
    [
        (source(25, author=CELEBRITY), 25, Sight.IN_LIST),
        (source(25, author=CELEBRITY), 20, Sight.MISSING),
        (source(25, author=CELEBRITY, floor=Cursor(22, "ph_0")), 20, Sight.BELOW_FLOOR),
        (None, 20, Sight.COLD_LIST),
    ],
)
def test_a_pulled_author_is_met_in_their_own_list(
    pulled: Source | None, at: int, sight: Sight
) -> None:
    view = View(source(30, 5), {CELEBRITY: pulled}, {ME, CELEBRITY})
    assert Sights(view).of(entry(at, CELEBRITY)) is sight


def test_the_highest_floor_cuts_all_sources() -> None:
    lists = {CELEBRITY: source(25, author=CELEBRITY, floor=Cursor(22, "ph_0"))}
    sights = Sights(View(source(30, 5), lists, {ME}))
    assert sights.shown() == {entry(30), entry(25, CELEBRITY)}
    assert sights.of(entry(5)) is Sight.BELOW_FLOOR

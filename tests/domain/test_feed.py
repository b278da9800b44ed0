"""Feeds as pure functions: members, merging, what a cut-off list says."""

from dataclasses import dataclass
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from domain.entities import Cursor, FeedEntry
from domain.feed import Read, entry_of, member, merged, newest, older, place, truncation, wanting
from domain.ids import spell
from domain.visibility import may_see

NUMBERS = st.integers(0, (1 << 63) - 1)
ENTRIES = st.builds(
    lambda at, post, author: FeedEntry(at, f"ph_{spell(post)}", f"u_{spell(author)}"),
    st.integers(0, 4_000_000_000_000),
    NUMBERS,
    NUMBERS,
)


@given(ENTRIES)
def test_a_member_and_its_score_spell_the_entry(entry: FeedEntry) -> None:
    back = entry_of(member(entry), float(entry.published_at))
    assert (back, back.author_id) == (entry, entry.author_id)
    assert len(member(entry)) == 21


@given(st.lists(ENTRIES, unique_by=lambda entry: entry.post_id))
def test_members_of_one_score_sort_as_entries_do(entries: list[FeedEntry]) -> None:
    same_time = [FeedEntry(7, entry.post_id, entry.author_id) for entry in entries]
    assert sorted(same_time, key=member) == sorted(same_time)


@given(st.lists(ENTRIES), ENTRIES)
def test_a_page_starts_strictly_behind_its_cursor(
    entries: list[FeedEntry], last: FeedEntry
) -> None:
    assert older(entries, None) == entries
    before = [entry for entry in entries if place(entry) < place(last)]
    assert older(entries, place(last)) == before


def test_a_list_of_cap_entries_may_be_cut_off() -> None:
    entries = [FeedEntry(at, f"ph_{spell(at)}", f"u_{spell(1)}") for at in (3, 2, 1)]
    assert truncation(entries, 4) is None
    assert truncation(entries, 3) == place(entries[-1])
    assert truncation([], 3) is None


AUTHORS = st.lists(
    st.lists(st.integers(0, 30), max_size=25).map(lambda times: sorted(times, reverse=True)),
    max_size=5,
)


@given(authors=AUTHORS, limit=st.integers(1, 40), asked=st.integers(1, 10))
def test_a_lazy_merge_is_the_whole_merge(authors: list[list[int]], limit: int, asked: int) -> None:
    posts = {
        f"u_{spell(author)}": sorted(
            (
                FeedEntry(at, f"ph_{spell(author * 100 + number)}", f"u_{spell(author)}")
                for number, at in enumerate(times)
            ),
            reverse=True,
        )
        for author, times in enumerate(authors)
    }
    reads = {author: Read() for author in posts}
    while authors_next := wanting(reads, limit):
        for author in authors_next:
            page = older(posts[author], reads[author].oldest)[:asked]
            reads[author] = reads[author].then(page, asked)
    whole = sorted((entry for entries in posts.values() for entry in entries), reverse=True)
    assert newest(reads, limit) == whole[:limit]
    assert all(len(read.entries) < limit + asked for read in reads.values())


def test_a_cursor_is_a_place_between_entries() -> None:
    entry = FeedEntry(5, f"ph_{spell(9)}", f"u_{spell(1)}")
    assert place(entry) == Cursor(5, entry.post_id)


def test_only_posts_of_those_followed_are_seen() -> None:
    assert may_see({"u_a"}, "u_a", "ph_x")
    assert not may_see(frozenset(), "u_a", "ph_x")


@dataclass(frozen=True)
class Source:
    """A set that holds what is above its floor."""

    truth: list[FeedEntry]
    floor: Cursor | None

    def page(self, before: Cursor | None, size: int) -> "SourcePage":
        floor = self.floor
        held = [entry for entry in self.truth if floor is None or place(entry) > floor]
        return SourcePage(older(held, before)[:size], floor)


@dataclass(frozen=True)
class SourcePage:
    entries: list[FeedEntry]
    floor: Cursor | None
    celebrities: tuple[str, ...] = ()
    built_at: int = 0


def entry(number: int, author: int) -> FeedEntry:
    """Few times, so that many posts share one."""
    return FeedEntry(number // 3, f"ph_{spell(number)}", f"u_{spell(author)}")


SOURCES = st.lists(
    st.tuples(
        st.sets(st.integers(0, 60), max_size=30),  # numbers of an author's posts
        st.sets(st.integers(0, 60), max_size=8),  # which of them were pushed, too
        st.none() | st.integers(0, 60),  # floor of the author's list
    ),
    max_size=6,
)
PUSHED = st.sets(st.integers(0, 60), max_size=30)
FLOORS = st.none() | st.integers(0, 60)


@given(authors=SOURCES, pushed=PUSHED, floor=FLOORS, size=st.integers(1, 12), at=FLOORS)
def test_a_merge_is_the_newest_of_the_union_down_to_its_cut(
    authors: list[tuple[set[int], set[int], int | None]],
    pushed: set[int],
    floor: int | None,
    size: int,
    at: int | None,
) -> None:
    """Author 0 is pushed; the others are pulled, and some of their posts were pushed as well."""

    def key(number: int | None, author: int) -> Cursor | None:
        return None if number is None else place(entry(number * 10 + author, author))

    own = [entry(number * 10, 0) for number in pushed]
    lists, doubles = [], []
    for author, (numbers, also, cut) in enumerate(authors, start=1):
        posts = sorted((entry(each * 10 + author, author) for each in numbers), reverse=True)
        lists.append(Source(posts, key(cut, author)))
        doubles += [entry(each * 10 + author, author) for each in numbers & also]
    feed = Source(sorted(own + doubles, reverse=True), key(floor, 0))
    before = key(at, 0)
    every = {*own, *chain.from_iterable(source.truth for source in lists)}
    truth = older(sorted(every, reverse=True), before)
    found = merged([source.page(before, size) for source in (feed, *lists)], size)
    if len(found.entries) == size or found.cut is None:
        assert found.entries == truth[:size]
    else:
        assert found.entries == [each for each in truth if place(each) > found.cut][:size]


def test_a_post_that_begins_every_source_counts_once() -> None:
    newest_of_all, own, theirs = entry(9, 1), entry(5, 1), entry(7, 1)
    sources = [Source([newest_of_all, own], None), Source([newest_of_all, theirs], None)]
    found = merged([source.page(None, 2) for source in sources], 2)
    assert found.entries == [newest_of_all, theirs]


@given(authors=SOURCES, size=st.integers(1, 12))
def test_pages_longer_than_asked_for_change_nothing(
    authors: list[tuple[set[int], set[int], int | None]], size: int
) -> None:
    sources = [
        Source(sorted((entry(n * 10 + a, a) for n in numbers), reverse=True), None)
        for a, (numbers, _, _) in enumerate(authors)
    ]
    exact = merged([source.page(None, size) for source in sources], size)
    assert merged([source.page(None, size + 9) for source in sources], size) == exact

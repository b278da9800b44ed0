"""Feeds as pure functions: members, merging, what a cut-off list says."""

from hypothesis import given
from hypothesis import strategies as st

from domain.entities import Cursor, FeedEntry
from domain.feed import Read, entry_of, member, newest, older, place, truncation, wanting
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
    assert len(member(entry)) == 22


@given(st.lists(ENTRIES, unique_by=lambda entry: entry.post_id))
def test_members_of_one_score_sort_as_entries_do(entries: list[FeedEntry]) -> None:
    same_time = [FeedEntry(7, entry.post_id, entry.author_id) for entry in entries]
    assert sorted(same_time, key=member) == sorted(same_time)


@given(st.lists(ENTRIES), ENTRIES)
def test_a_page_starts_strictly_behind_its_cursor(
    entries: list[FeedEntry], last: FeedEntry
) -> None:
    assert older(entries, None) == entries
    assert older(entries, place(last)) == [entry for entry in entries if entry < last]


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

"""Lines of notifications: nothing lost, nothing twice, whatever the page's size."""

from hypothesis import given
from hypothesis import strategies as st

from domain.entities import Notification
from domain.notice_lines import group

rows_of = st.lists(
    st.tuples(st.sampled_from(["like", "comment", "follow"]), st.sampled_from(["a", "b"])),
    max_size=20,
)


def newest_first(kinds: list[tuple[str, str]]) -> list[Notification]:
    rows = [
        Notification(f"nt_{n:03}", "u", kind, f"actor{n}", post, n)
        for n, (kind, post) in enumerate(kinds)
    ]
    return rows[::-1]


@given(rows_of, st.integers(1, 5), st.integers(0, 20))
def test_pages_hold_every_actor_once(kinds: list[tuple[str, str]], limit: int, read: int) -> None:
    rows = newest_first(kinds)
    rest, seen, rounds = rows, [], 0
    while rest:
        page = group(rest, f"nt_{read:03}", limit)
        assert 1 <= len(page.notices) <= limit
        seen += [actor for notice in page.notices for actor in notice.actor_ids]
        rest = [row for row in rest if row.notification_id < page.last_id]
        rounds += 1
    assert sorted(seen) == sorted(row.actor_id for row in rows)


@given(rows_of)
def test_a_line_has_its_newest_time_and_likes_alone_are_grouped(
    kinds: list[tuple[str, str]],
) -> None:
    page = group(newest_first(kinds), "", 100)
    ids = [notice.notification_id for notice in page.notices]
    assert ids == sorted(ids, reverse=True)
    for notice in page.notices:
        assert notice.type == "like" or len(notice.actor_ids) == 1
    likes = [notice.post_id for notice in page.notices if notice.type == "like"]
    assert len(likes) == len(set(likes))


def test_read_and_unread_likes_are_lines_of_their_own() -> None:
    rows = newest_first([("like", "a")] * 4)
    lines = group(rows, "nt_001", 10).notices
    assert [(line.read, len(line.actor_ids)) for line in lines] == [(False, 2), (True, 2)]

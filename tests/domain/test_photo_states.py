"""Whatever happens to a photo, in whatever order and however often."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from domain import photo_states
from domain.entities import Photo, PhotoStatus

AWAITED = Photo(
    photo_id="ph_00000000001",
    user_id="u_00000000001",
    status=PhotoStatus.AWAITING_UPLOAD,
    filename="a.jpg",
    content_type="image/jpeg",
    size_bytes=1,
    object_key="k",
)
FINAL = {PhotoStatus.PUBLISHED, PhotoStatus.REJECTED, PhotoStatus.DELETED}
Step = Callable[[Photo], Photo | None]

steps = st.one_of(
    st.text(max_size=3).map(
        lambda caption: lambda row: photo_states.processing(row, replace(row, caption=caption))
    ),
    st.sampled_from(["a", "b"]).map(lambda why: lambda row: photo_states.rejected(row, why)),
    st.integers(1, 9).map(lambda now: lambda row: photo_states.published(row, row, now)),
)


@given(st.lists(steps, max_size=8))
def test_versions_only_grow_and_an_end_is_an_end(taken: list[Step]) -> None:
    row = AWAITED
    for step in taken:
        after = step(row)
        if row.status in FINAL:
            assert after is None
        if after is not None:
            assert after.version == row.version + 1
            assert (after.published_at is not None) == (after.status is PhotoStatus.PUBLISHED)
            row = after


@given(steps)
def test_a_deleted_photo_stays_deleted(step: Step) -> None:
    assert step(replace(AWAITED, status=PhotoStatus.DELETED, version=3)) is None


def test_the_same_step_twice_is_once() -> None:
    published = photo_states.published(AWAITED, replace(AWAITED, caption="c", width=4), 7)
    assert published is not None
    assert (published.caption, published.width, published.published_at) == ("c", 4, 7)
    assert photo_states.published(published, AWAITED, 8) is None

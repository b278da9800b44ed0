"""Sizes, crops and names of the renditions, for any picture and any focus."""

from hypothesis import given
from hypothesis import strategies as st

from domain import renditions as r

sides = st.integers(1, 70_000)
sizes = st.tuples(sides, sides)
fractions = st.floats(0, 1, allow_nan=False)
bounds = st.sampled_from([r.FEED_BOUND, r.FULL_BOUND])


@given(sizes, bounds)
def test_fitted_is_never_enlarged_and_within_its_bound(size: r.Size, bound: int) -> None:
    width, height = r.fitted(size, bound)
    assert 1 <= width <= min(size[0], bound)
    assert 1 <= height <= min(size[1], bound)


@given(sizes, bounds)
def test_fitted_fills_the_bound_or_is_the_original(size: r.Size, bound: int) -> None:
    assert max(r.fitted(size, bound)) == min(max(size), bound)


@given(sizes, bounds)
def test_fitted_keeps_the_aspect_within_a_pixel(size: r.Size, bound: int) -> None:
    fitted = r.fitted(size, bound)
    scale = max(fitted) / max(size)
    for got, original in zip(fitted, size, strict=True):
        assert abs(got - max(1, original * scale)) <= 1


@given(sizes, bounds)
def test_a_turned_picture_has_turned_renditions(size: r.Size, bound: int) -> None:
    assert r.fitted(size[::-1], bound) == r.fitted(size, bound)[::-1]
    assert r.working_size(size[::-1]) == r.working_size(size)[::-1]


@given(sizes)
def test_the_working_size_serves_every_rendition_without_enlarging(size: r.Size) -> None:
    working = r.working_size(size)
    full = r.fitted(size, r.FULL_BOUND)
    assert all(w <= o for w, o in zip(working, size, strict=True))
    assert all(w >= f for w, f in zip(working, full, strict=True))
    assert min(working) >= r.thumbnail_side(size)


def test_the_working_size_of_a_usual_picture_is_full() -> None:
    assert r.working_size((4032, 3024)) == r.fitted((4032, 3024), 1080) == (1080, 810)


def test_a_panorama_keeps_enough_for_its_thumbnail() -> None:
    assert r.working_size((12_000, 300)) == (6000, 150)


def test_the_thumbnail_is_150_or_as_small_as_the_picture() -> None:
    assert r.thumbnail_side((4032, 3024)) == 150
    assert r.thumbnail_side((90, 400)) == 90


@given(sizes, st.one_of(st.none(), st.tuples(fractions, fractions)))
def test_the_crop_is_a_largest_square_inside_the_picture(
    size: r.Size, focus: r.Focus | None
) -> None:
    left, top, right, bottom = r.square_around(size, focus)
    assert right - left == bottom - top == min(size)
    assert left >= 0
    assert top >= 0
    assert right <= size[0]
    assert bottom <= size[1]


@given(sizes, fractions, fractions)
def test_the_focus_is_in_the_crop(size: r.Size, x: float, y: float) -> None:
    left, top, right, bottom = r.square_around(size, (x, y))
    assert left - 1 <= x * size[0] <= right + 1
    assert top - 1 <= y * size[1] <= bottom + 1


def test_without_a_focus_the_crop_is_the_middle() -> None:
    assert r.square_around((640, 480), None) == (80, 0, 560, 480)
    assert r.square_around((480, 640), (0.0, 1.0)) == (0, 160, 480, 640)


def test_a_focus_outside_the_picture_still_crops_inside() -> None:
    assert r.square_around((640, 480), (9.0, -4.0)) == (160, 0, 640, 480)


def test_the_same_bytes_are_one_object_of_their_owner() -> None:
    variant = r.Variant("feed", b"the same", 1, 1)
    twin = r.Variant("full", b"the same", 1, 1)
    assert variant.content_hash == twin.content_hash
    assert r.Variant("feed", b"another", 1, 1).content_hash != variant.content_hash
    key = r.object_key("u_00000000001", variant.content_hash)
    assert key == f"u_00000000001/{variant.content_hash}.jpg"

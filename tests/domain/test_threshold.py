"""The adaptive threshold keeps to its bounds, goes the right way, and comes to rest."""

from hypothesis import assume, given
from hypothesis import strategies as st

from domain.threshold import FALL, LATE, LEAST_CHANGE, RISE, ROOM, Bounds, Why, WriterLoad, move

FRESH_S = 30.0
BOUNDS = Bounds(1_000, 10_000, FRESH_S)

followers = st.integers(1, 1_000_000)
lags = st.floats(0, 100_000)
costs = st.none() | st.floats(1e-7, 10)
loads = st.lists(st.builds(WriterLoad, lags, costs), max_size=4)


@st.composite
def bounds(draw: st.DrawFn) -> Bounds:
    lowest = draw(followers)
    return Bounds(lowest, draw(st.integers(lowest, 1_000_000)), draw(st.floats(1, 600)))


@st.composite
def placed(draw: st.DrawFn, currents: st.SearchStrategy[int]) -> tuple[int, Bounds]:
    """A threshold, and bounds around it."""
    current = draw(currents)
    lowest, highest = draw(st.integers(1, current)), draw(st.integers(current, 1_000_000))
    return current, Bounds(lowest, highest, draw(st.floats(1, 600)))


@given(followers, loads, bounds())
def test_it_keeps_to_its_bounds_whatever_is_measured(
    current: int, measured: list[WriterLoad], limits: Bounds
) -> None:
    assert limits.lowest <= move(current, measured, limits).followers <= limits.highest


@given(followers, loads, bounds())
def test_a_reason_is_given_exactly_for_what_moves(
    current: int, measured: list[WriterLoad], limits: Bounds
) -> None:
    made = move(current, measured, limits)
    assert (made.why is Why.STEADY) == (made.followers == current)


@given(followers, lags, lags, costs, bounds())
def test_later_posts_never_give_a_higher_threshold(
    current: int, one_s: float, other_s: float, cost: float | None, limits: Bounds
) -> None:
    sooner, later = sorted((one_s, other_s))
    high = move(current, [WriterLoad(sooner, cost)], limits).followers
    low = move(current, [WriterLoad(later, cost)], limits).followers
    assert low <= high


@given(followers, lags, st.floats(1e-7, 10), st.floats(1e-7, 10), bounds())
def test_dearer_writes_never_give_a_higher_threshold(
    current: int, lag_s: float, one_s: float, other_s: float, limits: Bounds
) -> None:
    cheap, dear = sorted((one_s, other_s))
    high = move(current, [WriterLoad(lag_s, cheap)], limits).followers
    low = move(current, [WriterLoad(lag_s, dear)], limits).followers
    assert low <= high


@given(st.integers(1_000, 10_000), st.floats(ROOM * FRESH_S, LATE * FRESH_S, exclude_max=True))
def test_between_room_and_late_nothing_moves(current: int, lag_s: float) -> None:
    assume(lag_s > ROOM * FRESH_S)
    assert move(current, [WriterLoad(lag_s, None)], BOUNDS).followers == current


@given(placed(followers), loads)
def test_what_would_change_little_stays(
    place: tuple[int, Bounds], measured: list[WriterLoad]
) -> None:
    current, limits = place
    change = abs(move(current, measured, limits).followers - current)
    assert change == 0 or change >= LEAST_CHANGE * current


@given(placed(st.integers(1_000, 10_000)), loads)
def test_under_an_unchanging_load_it_goes_one_way_and_comes_to_rest(
    place: tuple[int, Bounds], measured: list[WriterLoad]
) -> None:
    current, limits = place
    path = [current]
    for _ in range(200):
        path.append(move(path[-1], measured, limits).followers)
        if path[-1] == path[-2]:
            break
    assert path[-1] == path[-2]
    assert path in (sorted(path), sorted(path, reverse=True))


@given(st.integers(1_000, 10_000), st.floats(LATE * FRESH_S, 10_000))
def test_late_posts_lower_it_at_once(current: int, lag_s: float) -> None:
    lower = move(current, [WriterLoad(0.0, None), WriterLoad(lag_s, None)], BOUNDS)
    near_the_end = current * (1 - LEAST_CHANGE) < BOUNDS.lowest
    assert lower.followers == current or lower.why is Why.LATE
    assert lower.followers < current or near_the_end
    assert lower.followers <= max(round(current * FALL), BOUNDS.lowest) or near_the_end


@given(st.integers(1_000, 9_000))
def test_room_raises_it_slowly(current: int) -> None:
    assert move(current, [WriterLoad(1.0, None)], BOUNDS).followers == round(current * RISE)


def test_a_post_that_would_take_too_long_alone_is_not_pushed() -> None:
    made = move(10_000, [WriterLoad(1.0, 0.005), WriterLoad(1.0, 0.005)], BOUNDS)
    assert made.why is Why.COST
    assert made.followers == 6_000  # x 5 ms / 2 writers = 15 s, half of 30 s


def test_without_a_writer_nothing_moves() -> None:
    assert move(5_000, [], BOUNDS).why is Why.STEADY

"""Where does the adaptive threshold settle, and what does each fixed one cost? A simulation.

`python bench/threshold.py [days]`. Followers are distributed as measured on Twitter by Kwak et al.,
"What is Twitter, a social network or a news media?", WWW 2010: 41.7 million users, 1.47 billion
relations (35 followers on average), a power law with exponent 2.276 (above 100,000 followers there
were more people than the law says, so the tail here is the milder one). Here it ends at 4 million.
Posts and feed loads stand to one another as in the seed's estimate: 200 loads a post.

What a write and a pull cost is what bench/fan_out.py and bench/feed_read.py measured last. The
writers are a queue: work comes with the posts and goes at their rate. The rate of posts swings with
the time of day, and in the evening the writers lose a quarter of their speed for half an hour. The
controller is the real one (`domain.threshold`), asked every 10 s with what the queue shows, and not
within 30 s of a move.
"""

import json
import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.tools.plot import line_chart
from bench.tools.report import RESULTS, Figure, publish
from domain.threshold import Bounds, Why, WriterLoad, move

USERS, MEAN_FOLLOWERS, EXPONENT, MOST = 41.7e6, 35.0, 2.276, 4e6
POSTS_PER_S, LOADS_A_POST = 2_400.0, 200.0
WRITES_PER_S, WRITERS = 120_000.0, 2
FRESHNESS_S, LOWEST, STEP_S, LOOK_S = 30.0, 1_000, 30, 10
FIXED = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 4_000_000)
_DAY_S, _SLOW_FROM_S, _SLOW_S, _SLOW_SHARE, _SWING = 86_400, 20 * 3600, 1800, 0.75, 0.4
_SEED = 7

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Costs:
    """Processor time: of one write to a feed, and of one pulled author in one page."""

    write_us: float
    pull_us: float

    @classmethod
    def measured(cls) -> "Costs":
        """From the last results of the two benchmarks. Raises KeyError, OSError without them."""
        fan_out, read = _figures("fan_out"), _figures("feed_read")
        write_us = sum(
            fan_out[f"photofeed, {who} CPU a delivery"] for who in ("worker's", "Redis's")
        )
        pulls_us = read["CPU a request, 50 celebrities"] - read["CPU a request, 10 follows"]
        return cls(write_us, pulls_us / 50)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Posts of a while: the small authors' as writes a second, the others' one by one."""

    small: Floats
    seconds: NDArray[np.int64]
    followers: Floats
    speed: Floats

    @classmethod
    def drawn(cls, days: float) -> "Traffic":
        """The same for every threshold, from a fixed seed."""
        random = np.random.default_rng(_SEED)
        time = np.arange(round(days * _DAY_S))
        rate = POSTS_PER_S * (1 - _SWING * np.cos(2 * math.pi * (time / _DAY_S - 1 / 6)))
        counts = random.poisson(rate * beyond(LOWEST))
        seconds = np.repeat(time, counts)
        least, most = beyond(LOWEST), beyond(MOST)
        share = random.uniform(most, least, len(seconds))
        followers = _fewest() * share ** (1 / (1 - EXPONENT))
        slow = (time % _DAY_S >= _SLOW_FROM_S) & (time % _DAY_S < _SLOW_FROM_S + _SLOW_S)
        speed = WRITES_PER_S * np.where(slow, _SLOW_SHARE, 1.0)
        return cls(rate * writes_between(_fewest(), LOWEST), seconds, followers, speed)

    def writes(self, threshold: float) -> Floats:
        """Feeds to write in each second, with a fixed threshold."""
        pushed = self.followers < threshold
        weights = self.followers[pushed]
        return self.small + np.bincount(self.seconds[pushed], weights, len(self.small))


def _fewest() -> float:
    """Where the power law begins so that its mean, without an end, is as measured."""
    return MEAN_FOLLOWERS * (EXPONENT - 2) / (EXPONENT - 1)


def beyond(followers: float) -> float:
    """The share of people with more followers."""
    return float((followers / _fewest()) ** (1 - EXPONENT))


def writes_between(fewest: float, most: float) -> float:
    """Followers of the people in between, for each person there is: writes a post of anybody."""
    low, high = ((x / _fewest()) ** (2 - EXPONENT) for x in (fewest, most))
    return MEAN_FOLLOWERS * float(low - high)


def cost_s(threshold: float, costs: Costs) -> tuple[float, float]:
    """Processor seconds a second for pushing, and for pulling, with a fixed threshold."""
    pushed = writes_between(_fewest(), threshold)
    pulled = writes_between(threshold, MOST)  # by symmetry, of the people one follows
    push_s = POSTS_PER_S * pushed * costs.write_us / 1e6
    return push_s, POSTS_PER_S * LOADS_A_POST * pulled * costs.pull_us / 1e6


def lags_s(writes: Floats, speed: Floats) -> Floats:
    """For each second, how long what comes in it waits until it is written."""
    waiting = 0.0
    found = np.empty(len(writes))
    for second, (comes, goes) in enumerate(zip(writes, speed, strict=True)):
        waiting += comes
        found[second] = waiting / goes
        waiting = max(0.0, waiting - goes)
    return found


def steered(traffic: Traffic) -> tuple[Floats, Floats]:
    """The threshold at each second, and the lag, with the controller at work."""
    bounds = Bounds(LOWEST, round(MOST), FRESHNESS_S)
    ends = np.searchsorted(traffic.seconds, np.arange(len(traffic.small)), "right")
    threshold, moved_at, waiting, begin = round(MOST), 0, 0.0, 0
    path, lags = np.empty(len(ends)), np.empty(len(ends))
    for second, end in enumerate(ends):
        if second % LOOK_S == 0 and second >= moved_at + STEP_S:
            speed = float(traffic.speed[second])
            measured = WriterLoad(float(lags[second - LOOK_S : second].max()), WRITERS / speed)
            made = move(threshold, [measured] * WRITERS, bounds)
            threshold, moved_at = made.followers, second if made.why is not Why.STEADY else moved_at
        posts = traffic.followers[begin:end]
        begin = end
        waiting += float(traffic.small[second]) + float(posts[posts < threshold].sum())
        path[second], lags[second] = threshold, waiting / traffic.speed[second]
        waiting = max(0.0, waiting - float(traffic.speed[second]))
    return path, lags


def main(days: float) -> bool:
    """Simulate, draw, write the results; whether freshness held."""
    costs, traffic = Costs.measured(), Traffic.drawn(days)
    rows = []
    for threshold in FIXED:
        push_s, pull_s = cost_s(threshold, costs)
        worst_s = float(lags_s(traffic.writes(threshold), traffic.speed).max())
        rows.append((threshold, push_s, pull_s, worst_s))
    path, lags = steered(traffic)
    _draw(rows, path, lags)
    adaptive_s = float(np.mean([sum(cost_s(t, costs)) for t in path[::STEP_S]]))
    holding = [row for row in rows if row[3] <= FRESHNESS_S]
    best_s = min((push_s + pull_s for _, push_s, pull_s, _ in holding), default=math.nan)
    late = float((lags > FRESHNESS_S).mean())
    changes = int(np.count_nonzero(np.diff(path)))
    return publish(
        "threshold",
        f"adaptive threshold, {days:g} simulated days",
        [
            *(
                Figure(
                    f"fixed {t:,}: cost", push_s + pull_s, "CPU s/s", note=f"worst lag {w:.1f} s"
                )
                for t, push_s, pull_s, w in rows
            ),
            Figure("adaptive: settles at (median)", float(np.median(path)), "followers"),
            Figure("adaptive: 5 % of the time below", float(np.quantile(path, 0.05)), ""),
            Figure("adaptive: cost", adaptive_s, "CPU s/s"),
            Figure("adaptive: worst lag", float(lags.max()), "s", ("<=", FRESHNESS_S)),
            Figure("adaptive: share of time later", late, "", ("<=", 0.0)),
            Figure("adaptive: changes an hour", changes / (len(path) / 3600), "1/h"),
            Figure("adaptive / best fixed that holds, cost", adaptive_s / best_s, "times"),
        ],
        costs={"write_us": costs.write_us, "pull_us": costs.pull_us},
        fixed=[
            dict(zip(("threshold", "push_s", "pull_s", "worst_lag_s"), r, strict=True))
            for r in rows
        ],
    )


def _draw(rows: list[tuple[int, float, float, float]], path: Floats, lags: Floats) -> None:
    """Costs over the fixed thresholds, and the day of the adaptive one."""
    line_chart(
        RESULTS / "threshold_cost.svg",
        "Cost of a fixed threshold",
        ("followers from which posts are pulled", "CPU s/s"),
        {
            "both": [(t, push + pull) for t, push, pull, _ in rows],
            "pulling": [(t, pull) for t, _, pull, _ in rows],
            "pushing": [(t, push) for t, push, _, _ in rows],
        },
        log_x=True,
    )
    hours = range(0, len(path), len(path) // 24 or 1)
    line_chart(
        RESULTS / "threshold_day.svg",
        "The adaptive threshold in the course of a day",
        ("hour", "1,000 followers; s"),
        {
            "threshold": [(h / 3600, float(path[h]) / 1000) for h in hours],
            "worst lag": [(h / 3600, float(lags[h : h + 3600].max())) for h in hours],
        },
        log_x=False,
    )


def _figures(name: str) -> dict[str, float]:
    found = json.loads((RESULTS / f"{name}.json").read_text())["figures"]
    return {row["name"]: row["value"] for row in found}


if __name__ == "__main__":
    sys.exit(0 if main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0) else 1)

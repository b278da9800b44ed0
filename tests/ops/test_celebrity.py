"""`photofeed celebrity`: flagged users and the live threshold."""

import pytest

from domain.settings import Settings
from stores.connect import Stores
from tests.fresh import fresh_id, now_ms
from tests.ops.cli import assert_one_line, photofeed


async def test_a_flag_is_shown_until_it_is_cleared_everywhere(stores: Stores) -> None:
    star = fresh_id("u_")
    await stores.celebrities.flag(star, 12_345, now_ms())
    await stores.follow_cache.put_celebrity(star, flagged=True)
    rows = photofeed("celebrity", "list", "--json").document["celebrities"]
    (row,) = (row for row in rows if row["user_id"] == star)
    assert row["followers"] == 12_345
    assert photofeed("celebrity", "clear", star).code == 0
    assert not await stores.celebrities.is_flagged(star)
    assert await stores.follow_cache.is_celebrity(star) is False
    again = photofeed("celebrity", "clear", star)
    assert again.code == 1
    assert_one_line(again)


async def test_the_threshold_is_live(settings: Settings, stores: Stores) -> None:
    before = photofeed("celebrity", "threshold", "--json").document
    wanted = settings.feed.celebrity_threshold + 1
    assert before["min"] <= wanted <= before["max"]
    assert {"threshold", "adaptive"} <= before.keys()
    changed = photofeed("celebrity", "threshold", str(wanted), "--json").document
    assert changed["threshold"] == wanted
    assert await stores.celebrities.threshold() == wanted
    photofeed("celebrity", "threshold", str(before["threshold"]))


def test_a_threshold_out_of_bounds_is_bad_usage() -> None:
    for number in ("0", "many", "1000000000"):
        answer = photofeed("celebrity", "threshold", number)
        assert answer.code == 2
        assert_one_line(answer)


def test_where_it_is_adaptive_its_ends_are_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOFEED_FEED__ADAPTIVE_THRESHOLD", "true")
    shown = photofeed("celebrity", "threshold", "--json").document
    assert shown["adaptive"] is True
    assert shown["min"] == settings.feed.adaptive_min
    assert shown["min"] <= shown["threshold"] <= shown["max"]

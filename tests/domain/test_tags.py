"""Hashtags: one spelling for each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.tags import normalise, normalise_all


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("#Sunset", "sunset"),
        ("sunset", "sunset"),
        ("＃Sunset", "sunset"),  # noqa: RUF001 - full width, on purpose
        ("STRASSE", "strasse"),
        ("straße", "strasse"),
        ("ﬁn", "fin"),
        ("  #Ünï  ", "ünï"),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
        ("日本", "日本"),
    ],
)
def test_one_spelling(typed: str, kept: str) -> None:
    assert normalise(typed) == kept


@given(st.text(max_size=60))
def test_normal_is_normal(text: str) -> None:
    try:
        kept = normalise(text)
    except ValueError:
        return
    assert normalise(kept) == kept
    assert normalise("#" + kept) == kept


@pytest.mark.parametrize("bad", ["", "#", " ", "a b", "a\nb", "a\0", "##a", "a,b", "x" * 101])
def test_what_is_no_tag(bad: str) -> None:
    with pytest.raises(ValueError, match="tag"):
        normalise(bad)


def test_each_once_in_order_and_not_too_many() -> None:
    assert normalise_all(["#b", "A", "B", "a"]) == ("b", "a")
    with pytest.raises(ValueError, match="30"):
        normalise_all([f"t{n}" for n in range(31)])

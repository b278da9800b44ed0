"""Cursors: what was written is read, and by its own list alone."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cursors import ForeignCursor, decode, encode

places = st.tuples(
    st.integers(0, (1 << 63) - 1), st.from_regex(r"ph_[0-9A-Za-z]{11}", fullmatch=True)
)


@given(st.text(max_size=40), places)
def test_what_was_written_is_read(kind: str, place: tuple[int, str]) -> None:
    assert decode(kind, (int, str), encode(kind, *place)) == place


@given(places, st.text(max_size=20), st.text(max_size=20))
def test_another_list_refuses(place: tuple[int, str], kind: str, other: str) -> None:
    if kind != other:
        with pytest.raises(ForeignCursor):
            decode(other, (int, str), encode(kind, *place))


@given(st.text(max_size=600))
def test_anything_else_is_refused_and_never_breaks(text: str) -> None:
    with pytest.raises(ForeignCursor):
        decode("kind", (int, str), text)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ForeignCursor):
        decode("kind", (int, str), base64.urlsafe_b64encode(data).decode())


@pytest.mark.parametrize(
    "parts",
    ['[1,"k",true,"a"]', '[1,"k",-1,"a"]', '[1,"k",9223372036854775808,"a"]', '[1,"k",1.0,"a"]',
     '[1,"k",1,"\\u0000"]', '[1,"k",1,"\\u00e9"]', '[1,"k",1]', '[1,"k",1,"a","b"]',
     '[2,"k",1,"a"]', '[1, "k",1,"a"]', '{"k":1}', "[" * 200],
)  # fmt: skip
def test_forged_places_are_refused(parts: str) -> None:
    with pytest.raises(ForeignCursor):
        decode("k", (int, str), base64.urlsafe_b64encode(parts.encode()).decode().rstrip("="))

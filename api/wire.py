"""Shapes that all resources share on the wire: bodies, texts, pages."""

import unicodedata
from typing import Annotated

import regex
from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from api.problems import invalid
from domain import cursors

PAGE, MOST = 20, 100
"""Items of a page: when nothing is asked for, and at most."""
_LONGEST_GRAPHEME = 10
"""Code points. Emoji have a few more, but no text is made of those alone; marks can be piled up."""
_LINE_ENDS = frozenset("\n\t")


class Body(BaseModel):
    """A request's body: no conversions, so that "5" is no number and 1 no text."""

    model_config = ConfigDict(strict=True)


def plain(text: str) -> str:
    """NFC with plain line ends. Raises ValueError for control characters and lone surrogates."""
    for character in (composed := unicodedata.normalize("NFC", text.replace("\r\n", "\n"))):
        if character not in _LINE_ENDS and unicodedata.category(character) in {"Cc", "Cs"}:
            raise ValueError("contains a control character")
    return composed


def encodable(text: str) -> str:
    """Text that is text: JSON can spell lone surrogates, UTF-8 can't. Raises ValueError."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("contains a lone surrogate") from None
    return text


def _filled(text: str) -> str:
    """Text with something in it. Raises ValueError."""
    if not text.strip():
        raise ValueError("is blank")
    return text


def _at_most(graphemes: int) -> AfterValidator:
    """Refuses texts of more than so many characters as people count them (UAX 29)."""

    def check(text: str) -> str:
        if len(text) > graphemes and len(regex.findall(r"\X", text)) > graphemes:
            raise ValueError(f"has more than {graphemes} characters")
        return text

    return AfterValidator(check)


def _told_in(graphemes: int) -> StringConstraints:
    """The bound that a schema can tell, in code points: no reader sees more of one character."""
    return StringConstraints(max_length=graphemes * _LONGEST_GRAPHEME)


Caption = Annotated[str, _told_in(2200), AfterValidator(plain), _at_most(2200)]
AltText = Annotated[str, _told_in(1000), AfterValidator(plain), _at_most(1000)]
Filename = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(plain)]
Bio = Annotated[str, StringConstraints(max_length=500), AfterValidator(plain)]
DisplayName = Annotated[
    str, StringConstraints(max_length=100), AfterValidator(plain), AfterValidator(_filled)
]
CommentText = Annotated[
    str, StringConstraints(max_length=2200), AfterValidator(plain), AfterValidator(_filled)
]

Limit = Annotated[int, Query(ge=1, le=MOST)]
CursorText = Annotated[str | None, Query(alias="cursor", max_length=512)]


def place(kind: str, shape: tuple[type[int] | type[str], ...], cursor: str | None) -> cursors.Place:
    """Where a page starts; () without a cursor. Raises Problem (422) for a foreign one."""
    if cursor is None:
        return ()
    try:
        return cursors.decode(kind, shape, cursor)
    except cursors.ForeignCursor:
        raise invalid("cursor", "not a cursor of this list", "query") from None

"""Hashtags: one spelling for each, whatever the client typed (contract, section 2 "Tags")."""

import unicodedata
from collections.abc import Iterable

MOST = 30
LONGEST = 100
_CONTROL = frozenset({"Cc", "Cs"})


def normalise(tag: str) -> str:
    """NFKC, casefolded, without a leading `#`. Raises ValueError for what can't be a tag."""
    spelled = unicodedata.normalize("NFKC", tag).strip().removeprefix("#").casefold()
    spelled = unicodedata.normalize("NFKC", spelled)  # casefolding may decompose
    if not 1 <= len(spelled) <= LONGEST:
        raise ValueError(f"a tag has 1 to {LONGEST} characters")
    if any(_breaks(character) for character in spelled):
        raise ValueError("a tag has no spaces, control characters, '#' or ','")
    return spelled


def normalise_all(tags: Iterable[str]) -> tuple[str, ...]:
    """Each tag once, in the order given. Raises ValueError for a bad one or too many."""
    unique = tuple(dict.fromkeys(normalise(tag) for tag in tags))
    if len(unique) > MOST:
        raise ValueError(f"at most {MOST} tags")
    return unique


def _breaks(character: str) -> bool:
    return character in "#," or character.isspace() or unicodedata.category(character) in _CONTROL

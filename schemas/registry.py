"""Schema ids: from the committed `registry.json`, the history of every schema ever written.

An entry is `{"id", "subject", "version", "schema"}`; subjects are `<topic>-value`, ids are
positive, never reused and never changed. The newest version of a subject equals its `.avsc` file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
AvroSchema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Registered:
    """One version of one subject."""

    id: int
    subject: str
    version: int
    schema: AvroSchema


class Registry:
    """Look-ups both ways over registered schemas."""

    def __init__(self, entries: tuple[Registered, ...]) -> None:
        self.entries = entries
        self._by_id = {entry.id: entry for entry in entries}
        newest = sorted(entries, key=lambda entry: entry.version)
        self._latest = {entry.subject: entry for entry in newest}

    def by_id(self, schema_id: int) -> Registered:
        """The schema a message was written with. Raises KeyError when the id is unknown."""
        return self._by_id[schema_id]

    def latest(self, subject: str) -> Registered:
        """What a producer of `subject` writes. Raises KeyError when there is none."""
        return self._latest[subject]

    def history(self, subject: str) -> tuple[Registered, ...]:
        """All versions of `subject`, oldest first."""
        mine = (entry for entry in self.entries if entry.subject == subject)
        return tuple(sorted(mine, key=lambda entry: entry.version))


def parse_registry(text: str) -> Registry:
    """A registry from the text of a registry file."""
    return Registry(tuple(Registered(**entry) for entry in json.loads(text)["schemas"]))


@cache
def committed() -> Registry:
    """The registry that is part of this source tree."""
    return parse_registry((HERE / "registry.json").read_text())

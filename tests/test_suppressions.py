"""A check that is switched off says why, on its line."""

import re

from domain.settings import ROOT

PACKAGES = ("schemas", "topics", "domain", "stores", "streams", "api", "ops", "tests", "bench")
_SILENT = re.compile(r"#\s*(noqa(?!: [A-Z\d, ]+ - \w)|type: ignore(?!\[[\w,-]+\]\s+# \w))")


def test_a_suppression_has_its_reason() -> None:
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert not [
        f"{source.relative_to(ROOT)}:{number}"
        for source in sources
        for number, line in enumerate(source.read_text().splitlines(), 1)
        if _SILENT.search(line)
    ]


def test_a_suppression_without_a_reason_is_seen() -> None:
    check = "# no" + "qa"
    for line in (check, f"{check}: S101", "# type" + ": ignore", "# type" + ": ignore[misc]"):
        assert _SILENT.search(line), line
    for line in (f"{check}: S101, E501 - theirs", "# type" + ": ignore[misc] # theirs"):
        assert not _SILENT.search(line), line

"""What the documents name exists: paths, tests, make targets, commands with their flags, settings.

A document is README.md, CHANGELOG.md or any Markdown file under docs/. Names are read where
Markdown sets them as code or as a link.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from domain import settings
from ops import event_docs
from ops.cli import VERBS, photofeed
from topics import catalog

ROOT = settings.ROOT
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")])
FOLDERS = {entry.name for entry in ROOT.iterdir() if entry.is_dir() and entry.name[0] != "."}
MADE_LATER = {"bench/results/"}
NO_TOPIC = {"photo.published"}
"""What a webhook is called with."""

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix()
)


def code_of(document: Path) -> Iterator[str]:
    """Every code span, a space for its line ends, and every line of a shell block."""
    text = re.sub(r"```(\w*)\n(.*?)```", _keep_shell, document.read_text(), flags=re.DOTALL)
    for span in re.findall(r"`([^`]+)`", text):
        yield " ".join(span.split())


def _keep_shell(block: re.Match[str]) -> str:
    lines = block[2].splitlines() if block[1] == "sh" else []
    return "\n".join(f"`{line.partition('#')[0].strip()}`" for line in lines)


def commands_of(document: Path, first: str) -> Iterator[list[str]]:
    """The words after `first` of every command that begins with it, settings before it aside."""
    for code in code_of(document):
        if re.match(rf"(PHOTOFEED_\S+ )*(\.venv/bin/)?{first}( |$)", code):
            words = shlex.split(code.replace("…", ""))
            yield words[[Path(word).name for word in words].index(first) + 1 :]


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target.partition("#")[0]).exists(), target


@each_document
def test_named_paths_exist(document: Path) -> None:
    for code in code_of(document):
        folder = code.partition("/")[0]
        if re.fullmatch(r"[\w.*/-]+", code) and "/" in code and folder in FOLDERS - {"docs"}:
            assert code in MADE_LATER or list(ROOT.glob(code)), code


@each_document
def test_make_targets_are_real(document: Path) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for words in commands_of(document, "make"):
        assert {word for word in words if "=" not in word} <= set(targets), words


@each_document
def test_commands_and_their_flags_are_real(document: Path) -> None:
    for words in commands_of(document, "photofeed"):
        command: click.Command = photofeed
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            found = command.get_command(click.Context(command), words[0])
            assert found, words
            command = found
            words.pop(0)
        known = {flag for each in command.params for flag in each.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= known, words


@each_document
def test_named_settings_are_real(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = re.findall(r"\b(PHOTOFEED_[A-Z_]+[A-Z])(?:=(\S+?))?[\s`]", document.read_text())
    for name, value in named:
        with monkeypatch.context() as environment:
            environment.setenv(name, value or "?")
            refusal = _refusal()
        assert "no such setting" not in refusal
        assert not (value and refusal), refusal


def _refusal() -> str:
    try:
        settings.load()
    except settings.SettingsError as error:
        return str(error)
    return ""


@each_document
def test_named_topics_are_declared(document: Path) -> None:
    nouns = {name.partition(".")[0] for name in catalog.BY_NAME}
    for code in code_of(document):
        if re.fullmatch(r"[a-z]+\.[a-z]+ed|fanout\.\w+", code) and code.partition(".")[0] in nouns:
            assert code in catalog.BY_NAME.keys() | NO_TOPIC, code


def test_the_operating_guide_tells_of_every_verb() -> None:
    told = {words[0] for words in commands_of(ROOT / "docs/operating.md", "photofeed") if words}
    told |= {words[0] for words in commands_of(ROOT / "docs/operating.md", "make")}
    assert set(VERBS) <= told


def test_decisions_have_numbers_of_their_own() -> None:
    numbers = [int(page.name[:4]) for page in ROOT.glob("docs/decisions/*.md")]
    assert len(set(numbers)) == len(numbers)


def test_every_invariant_names_its_proof() -> None:
    text = (ROOT / "docs/invariants.md").read_text()
    told = re.findall(r"^\| (I\d+) \|[^|]+\|(.+)\|$", text, re.MULTILINE)
    assert all("`tests/" in proof for _, proof in told)
    assert {int(name[1:]) for name in re.findall(r"\bI\d+\b", text)} == set(range(1, 13))


def test_the_events_document_is_current() -> None:
    assert event_docs.PATH.read_text() == event_docs.render(), "run `make docs`"

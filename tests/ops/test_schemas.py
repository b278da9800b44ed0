"""`photofeed schemas`: the committed history is checked, and grows only compatibly."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import ops.schemas
import schemas.compat
import schemas.registry
from ops.errors import Refused
from schemas.registry import HERE, committed
from tests.ops.cli import assert_one_line, photofeed

EXTRA = {"name": "device", "type": "string", "default": ""}


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the schemas that a test may change, in the place of the committed ones."""
    for file in (*HERE.glob("*.avsc"), HERE / "registry.json"):
        shutil.copy(file, tmp_path)
    for module in (ops.schemas, schemas.compat, schemas.registry):
        monkeypatch.setattr(module, "HERE", tmp_path)
    committed.cache_clear()
    yield tmp_path
    committed.cache_clear()


def add_field(folder: Path, field: dict[str, Any]) -> None:
    file = folder / "like_created.avsc"
    schema = json.loads(file.read_text())
    schema["fields"].append(field)
    file.write_text(json.dumps(schema))


def call(*words: str) -> Result:
    """In this process: the copy is known to no other."""
    return CliRunner().invoke(ops.schemas.command, words, standalone_mode=False)


def test_the_committed_schemas_are_in_order() -> None:
    answer = photofeed("schemas", "check", "--json")
    assert (answer.code, answer.document["problems"]) == (0, [])


def test_a_changed_file_is_a_problem_until_it_is_registered(copy: Path) -> None:
    add_field(copy, EXTRA)
    found = call("check")
    assert found.return_value == 1
    assert found.output == (
        "like.created-value: like_created.avsc isn't the newest registered version\n"
    )
    before = committed().entries
    registered = json.loads(call("register", "like.created", "--json").output)
    assert registered == {
        "subject": "like.created-value",
        "version": 2,
        "id": max(entry.id for entry in before) + 1,
        "new": True,
    }
    assert call("check").return_value == 0
    assert committed().entries[:-1] == before


def test_registering_twice_is_registering_once(copy: Path) -> None:
    add_field(copy, EXTRA)
    call("register", "like.created")
    text = (copy / "registry.json").read_text()
    again = json.loads(call("register", "like_created.avsc", "--json").output)
    assert (again["version"], again["new"]) == (2, False)
    assert (copy / "registry.json").read_text() == text


def test_what_cant_read_earlier_events_is_refused(copy: Path) -> None:
    add_field(copy, {"name": "device", "type": "string"})
    text = (copy / "registry.json").read_text()
    refused = call("register", "like.created")
    assert isinstance(refused.exception, Refused)
    assert "can't read version 1" in str(refused.exception)
    assert (copy / "registry.json").read_text() == text


def test_a_topic_without_schema_is_one_line() -> None:
    answer = photofeed("schemas", "register", "no.such.topic")
    assert answer.code == 1
    assert_one_line(answer)

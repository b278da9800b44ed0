"""The command line: exit codes, one-line errors, every verb in the table is there."""

import importlib
import sys
from types import SimpleNamespace

import click
import pytest

from ops import cli
from ops.errors import Refused


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["photofeed", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code


def _verb(monkeypatch: pytest.MonkeyPatch, outcome: BaseException | int | None) -> None:
    """Make `photofeed try` end in a certain way."""

    @click.command()
    def command() -> int | None:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setitem(cli.VERBS, "try", "Tried by the tests.")
    module = SimpleNamespace(command=command)
    monkeypatch.setattr(importlib, "import_module", lambda _: module)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (None, 0),
        (0, 0),
        (1, 1),
        (Refused("no"), 1),
        (click.UsageError("no"), 2),
        (click.BadParameter("no"), 2),
        (RuntimeError("no\nnot at all"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcome: BaseException | int | None,
    code: int,
) -> None:
    _verb(monkeypatch, outcome)
    assert _run(monkeypatch, "try") == code
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert len(told.strip().split("\n")) == 1


def test_an_unknown_verb_is_bad_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, "nonesuch") == 2
    assert _run(monkeypatch, "up", "--nonesuch") == 2


def test_a_wrong_setting_is_bad_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PHOTOFEED_NONESUCH", "1")
    assert _run(monkeypatch, "status") == 2
    assert "PHOTOFEED_NONESUCH: no such setting" in capsys.readouterr().err


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert _run(monkeypatch, verb, "--help") == 0
    assert capsys.readouterr().out.startswith(f"Usage: photofeed {verb}")

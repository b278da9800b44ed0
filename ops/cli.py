"""The `photofeed` command: a table of verbs, each a module of its own, imported when it is called.

A verb is `ops/<module>.py` with a click command named `command`. Exit codes: 0 done, 1 found a
problem, 2 bad usage (a setting that can't be used is bad usage too). An error is one line;
`PHOTOFEED_LOG_LEVEL=debug` adds where it came from.
"""

import importlib
import os
import sys
import traceback
from typing import NoReturn

import click

from domain import settings
from domain.errors import Transient
from ops.errors import Refused

VERBS = {
    "up": "Start the stack; a second time does nothing.",
    "down": "Stop the stack without loss.",
    "status": "What runs, on which port, ready or not.",
    "demo": "Real photographs from upload to every feed, checked at the end.",
    "topics": "Declared topics against the cluster's: plan, apply, list.",
    "lag": "How far each stage is behind; --watch refreshes.",
    "dlq": "Dead letters: list, show, edit, replay, discard.",
    "replay": "Read a range of a topic again, into one stage or a side topic.",
    "feed": "Every feed against the stores: audit, explain, rebuild.",
    "trace": "Every stage one photo went through, with times.",
    "photos": "Published photos: render again, remove pictures that no post shows.",
    "celebrity": "People flagged for their many followers: list, clear, threshold.",
    "moderation": "Blocked photos: list, show, decide; the blocklist.",
    "schemas": "Event schemas: check their history, register a changed one.",
}
"""Verb → its line in the overview; the module has the verb's name."""


class _Verbs(click.Group):
    """Imports a verb's module only when that verb is asked for: the rest stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"ops.{cmd_name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"ops.{cmd_name}.command is no click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs)
def photofeed() -> None:
    """Run and look after the photo feed."""


def main() -> NoReturn:
    """Run the command of `sys.argv` and exit with its code."""
    try:
        code = photofeed(standalone_mode=False, prog_name="photofeed")
    except click.UsageError as error:
        code = _complain(error.format_message(), 2)
    except settings.SettingsError as error:
        code = _complain(str(error), 2)
    except (Refused, Transient) as error:
        code = _complain(str(error), 1)
    except (KeyboardInterrupt, click.Abort):
        code = _complain("interrupted", 130)
    except Exception as error:  # noqa: BLE001 - the last resort: one line, the rest on request
        if os.environ.get("PHOTOFEED_LOG_LEVEL", "").lower() == "debug":
            traceback.print_exc()
        code = _complain(f"{type(error).__name__}: {error}".splitlines()[0], 1)
    sys.exit(code if isinstance(code, int) else 0)


def _complain(line: str, code: int) -> int:
    click.echo(f"photofeed: {line}", err=True)
    return code

"""`photofeed up`: start the stack."""

import sys

import click
from rich.console import Console

from domain import settings as settings_module
from domain.settings import Settings
from ops.output import json_option, print_json
from ops.servers import start as starting
from ops.servers.stack import Stack


@click.command("up")
@click.option(
    "--only",
    type=click.Choice(["servers", "own"]),
    help="The servers, or our own processes, alone.",
)
@json_option
def command(only: str | None, as_json: bool) -> None:
    """Start what doesn't run yet and wait until it is ready; a second time does nothing."""
    stack = start(settings_module.load(), only=only)
    if as_json:
        print_json(dict(stack.endpoints()))
    else:
        click.echo(f"up; addresses are in {stack.run.endpoints}")


def start(settings: Settings, *, only: str | None = None) -> Stack:
    """Bring the stack up, telling on standard error what happens. Raises Refused."""
    console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
    with console.status("starting"):
        return starting.up(settings, console.print, only=only)

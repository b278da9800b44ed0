"""`photofeed down`: stop the stack."""

import click

from domain import settings
from ops.output import json_option, print_json
from ops.servers import stop
from ops.servers.stack import Stack


@click.command("down")
@json_option
def command(as_json: bool) -> None:
    """Stop the stack without loss. Data stays."""
    stop.down(Stack.of(settings.load()), (lambda _: None) if as_json else click.echo)
    if as_json:
        print_json({"stopped": True})

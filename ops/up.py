"""`photofeed up`: start the stack."""

import click

from domain import settings
from ops.output import json_option, print_json
from ops.servers import stack


@click.command("up")
@click.option("--only", type=click.Choice(["servers"]), help="Servers without our own processes.")
@json_option
def command(only: str | None, as_json: bool) -> None:
    """Start what doesn't run yet and wait until it is ready; a second time does nothing."""
    whole = stack.Stack.of(settings.load())
    stack.up(whole, (lambda _: None) if as_json else click.echo, servers_only=only == "servers")
    endpoints = whole.endpoints()
    if as_json:
        print_json(endpoints)
    else:
        click.echo(f"up: {endpoints['s3' if only else 'api']} (all: {whole.run.endpoints})")

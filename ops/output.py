"""How verbs answer: one JSON object with `--json`, plain text without."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """Add `--json`, passed to the verb as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(function)


def print_json(document: dict[str, Any]) -> None:
    """Print `document` as one indented JSON object; times and paths as strings."""
    click.echo(json.dumps(document, indent=2, default=str))

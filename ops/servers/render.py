"""Configuration files from the templates beside this module."""

import re
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"
_MARK = re.compile(r"@([a-z_]+)@")


def render(template: str, **values: object) -> str:
    """Fill every `@name@` of a template. Raises KeyError for a name that has no value."""
    return _MARK.sub(lambda mark: str(values[mark[1]]), (TEMPLATES / template).read_text())

"""`python -m ops` is `photofeed`."""

from ops.cli import main

main()

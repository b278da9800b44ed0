"""Logs of a worker: one JSON object a line on standard output, from us and from the libraries."""

import logging
import sys

import structlog

_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(
        show_locals=False, max_frames=8
    )  # locals may hold secrets
)


class OncePer(logging.Filter):
    """Lets a library say the same thing once in `window_s`: an outage is not 50 lines a second."""

    def __init__(self, window_s: float = 30.0) -> None:
        super().__init__()
        self._window_s = window_s
        self._said: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to let it through; our own lines always."""
        if record.name.startswith(("streams", "stores")):
            return True
        key = (record.name, record.lineno)
        due = record.created - self._said.get(key, 0.0) > self._window_s
        if due:
            self._said[key] = record.created
        return due


def configure(level: str, **fields: str) -> None:
    """Log at `level` and above with `fields` on every line; libraries from warning on."""
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        stamp,
        _TRACEBACKS,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    handler.addFilter(OncePer())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for package in ("streams", "stores", "__main__"):
        logging.getLogger(package).setLevel(level.upper())
    logging.getLogger("streams.faust_app").setLevel(logging.WARNING)  # its tables log as faust does
    structlog.contextvars.bind_contextvars(**fields)

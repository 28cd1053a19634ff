"""Structured logs: JSON lines, or a console format for people. Never with message content."""

import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from structlog.typing import EventDict


class LogConfig(BaseModel):
    """How auditfuse logs, always to standard error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["auto", "json", "console"] = "auto"
    """auto: console on a terminal, JSON lines elsewhere."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is written."""


SPARING_S = 10.0
"""A library says the same at most once in so long: while a broker is away it would hundreds of times."""
LIBRARIES = ("aiokafka", "apprise", "uvicorn", "openfeature")
"""Without Presidio: `redact/find/finders.py` must see what it logs, and lets none of it through."""


def configure_logs(config: LogConfig) -> None:
    """Set up logging of this process. Libraries speak at warning and above only: their lower levels
    may hold addresses or content."""
    import structlog  # a fifth of a second, which reading the configuration need not cost

    level = logging.getLevelNamesMapping()[config.level.upper()]
    console = config.format == "console" or (config.format == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _drop_traceback,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(Sparing())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)


class Sparing(logging.Filter):
    """Lets one line of each kind through in SPARING_S; the next one says how many were left out."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock_s = clock_s
        self._next_s: dict[tuple[str, int], float] = {}
        self._left_out: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written. Lines are of one kind where they come from one place."""
        kind = (record.pathname, record.lineno)
        now_s = self._clock_s()
        if now_s < self._next_s.get(kind, 0.0):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return False
        self._next_s[kind] = now_s + SPARING_S
        if left_out := self._left_out.pop(kind, 0):
            record.msg = f"{record.getMessage()} (and {left_out} more like it before)"
            record.args = None
        return True


def _drop_traceback(logger: object, method: str, event: "EventDict") -> "EventDict":
    """An exception's text may hold content: its type says enough."""
    del logger, method
    caught = event.pop("exc_info", None)
    if isinstance(caught, tuple) and isinstance(caught[1], BaseException):
        event["error"] = type(caught[1]).__name__
    return event

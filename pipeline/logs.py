"""Structured logs: JSON lines, or a console format for people. Never with message content."""

import logging
import sys
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
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)


def _drop_traceback(logger: object, method: str, event: "EventDict") -> "EventDict":
    """An exception's text may hold content: its type says enough."""
    del logger, method
    caught = event.pop("exc_info", None)
    if isinstance(caught, tuple) and isinstance(caught[1], BaseException):
        event["error"] = type(caught[1]).__name__
    return event

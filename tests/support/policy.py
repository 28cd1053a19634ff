"""Redactors under rules of their own that share one engine: it takes seconds to build, rules or not."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from support.redact import fresh

from pipeline.redact.config import RedactionConfig
from pipeline.redact.find.engine import Engine
from pipeline.redact.redactor import Redactor


@functools.cache
def _engine() -> Engine:
    return Engine(RedactionConfig(names="off"))


@contextmanager
def shared_engine() -> Iterator[None]:
    """Within it, every redactor has the engine of the default configuration."""
    with patch("pipeline.redact.find.engine.Engine", lambda _: _engine()):
        yield


def under(**rules: object) -> Redactor:
    """A redactor without names under these rules, loaded."""
    with shared_engine():
        made = fresh(names=False, **rules)
        made.redact_text("-")
    return made

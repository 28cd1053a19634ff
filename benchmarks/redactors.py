"""Redactors to measure: models loaded, nothing remembered of any text."""

import sys
from pathlib import Path

from pydantic import ValidationError

from benchmarks.report import scratch
from pipeline.keys import Keys
from pipeline.pool import calm_collector
from pipeline.redact.config import RedactionConfig
from pipeline.redact.find.names import NameFinder, name_finder
from pipeline.redact.redactor import Redactor
from schemas.event import Event

CHOICES = ("tagger", "spacy", "off")
"""Who finds names."""
WARM_UP = (
    "Jane Roe, 30 Hill Street, jane@example.org, +1 415 555 0132, phone 030 90182017, "
    "my social security number is 536-22-8419, driver license D4819273"
)
"""What loads everything that is loaded at its first use."""


def config(names: str = "", **options: object) -> RedactionConfig:
    """The default configuration with these options. Exits with 2 where `names` is not to be had."""
    try:
        return RedactionConfig.model_validate(options | ({"names": names} if names else {}))
    except ValidationError as error:
        print(f"--names {names}: {error.errors()[0]['msg']}", file=sys.stderr)
        raise SystemExit(2) from None


def tagger() -> NameFinder:
    """A tagger that has seen no word but the warm-up's, and remembers no text."""
    finder = name_finder(config("tagger", memo_bytes=0))
    assert finder is not None
    finder.find([WARM_UP])
    return finder


def fresh(names: str = "", **options: object) -> Redactor:
    """A redactor as in a process of the pool: its models loaded, nothing remembered."""
    redactor = Redactor(config(names, **options), Keys(Path(scratch().name)))
    redactor.redact([[Event(start_time_unix_nano=1, agent_id="warm up", input=WARM_UP)]])
    calm_collector()
    return redactor

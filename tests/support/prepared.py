"""Rows as the pipeline makes them of raw messages: decoded, bound, redacted, without names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.audit import START_MS, TOPIC_ID

from pipeline.decode.action_kind import ToolPatterns
from pipeline.decode.sources import Format, SourceConfig
from pipeline.keys import Keys
from pipeline.prepare import Batch, Preparation
from pipeline.redact.config import RedactionConfig
from pipeline.topics.base import Message
from schemas.record import Row


def open_source(form: Format = "events", **changes: Any) -> SourceConfig:
    """A source that may speak for everybody."""
    fields = {"name": "agents", "topic": "agents", "format": form, "agents": ["*"], "environments": ["*"]}
    return SourceConfig.model_validate(fields | changes)


def prepared(
    keys: Path, values: Sequence[bytes], form: Format = "events", *, start: int = 0, topic_id: str = TOPIC_ID
) -> list[Row]:
    """The rows of consecutive messages of partition 0, with the keys of that directory."""
    preparation = Preparation([open_source(form)], ToolPatterns(), RedactionConfig(names="off"), Keys(keys))
    messages = [
        Message(0, start + number, START_MS + start + number, "append", None, value)
        for number, value in enumerate(values)
    ]
    return preparation(
        Batch(topic_id=topic_id, partition=0, source="agents", messages=messages, ingest_time_ms=START_MS)
    )

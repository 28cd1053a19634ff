"""Rows of generated traffic, as the worker prepares them, without the cost of redaction."""

import contextlib
import io
import itertools
from pathlib import Path

import msgspec

from benchmarks.report import scratch
from pipeline.decode.action_kind import ToolPatterns
from pipeline.decode.sources import SourceConfig
from pipeline.generate.stream import StreamConfig, fleet, generate
from pipeline.keys import Keys
from pipeline.prepare import Batch, Preparation
from pipeline.redact.config import RedactionConfig
from pipeline.topics.base import Message
from schemas.event import Event
from schemas.record import Row

TOPIC_ID = "bench." + "0" * 32
AGENTS = 200
CALLS_PER_MINUTE = 60.0


def generated_events(count: int) -> list[Event]:
    """The first events of a fleet of agents; the same ones always."""
    minutes = 2 * count / (AGENTS * CALLS_PER_MINUTE) + 1
    config = StreamConfig(agents=fleet(AGENTS, CALLS_PER_MINUTE), length_s=60 * minutes)
    return list(itertools.islice(generate(config), count))


def generated_rows(count: int) -> list[Row]:
    """Rows of partition 0 at offsets 0, 1, …; their payloads are as generated: nobody's data."""
    encode = msgspec.json.Encoder().encode
    messages = [
        Message(0, offset, event.end_time_unix_nano // 1_000_000, "append", None, encode(event))
        for offset, event in enumerate(generated_events(count))
    ]
    batch = Batch(topic_id=TOPIC_ID, partition=0, source="bench", messages=messages, ingest_time_ms=0)
    return _preparation()(batch)


def _preparation() -> Preparation:
    source = SourceConfig(
        name="bench", topic="bench", kind="local", format="events", agents=("*",), environments=("*",)
    )
    keys = Keys(Path(scratch().name))
    with contextlib.redirect_stderr(io.StringIO()):  # it warns, rightly, that nothing is redacted
        return Preparation([source], ToolPatterns(), RedactionConfig(enabled=False), keys)

"""The real trace files, decoded as a worker decodes them, and the strings that are redacted in them."""

import gzip
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import msgspec

from benchmarks.report import shared
from pipeline.decode.action_kind import ToolPatterns
from pipeline.decode.message import decode_message
from pipeline.decode.sources import Format, SourceConfig
from pipeline.redact.config import RedactionConfig
from pipeline.redact.payload import parse
from pipeline.worker_config import WorkerConfig
from schemas.event import Event
from schemas.record import Payload

FILES: dict[str, tuple[str, Format]] = {
    "native": ("traces/taubench.events.ndjson.gz", "events"),
    "OTLP": ("traces/taubench.otlp.ndjson.gz", "otlp_spans"),
    "OTLP, full history": ("traces/taubench.full-history.otlp.ndjson.gz", "otlp_spans"),
}


class Trace(NamedTuple):
    """A file's messages, each with its events, in the chunks that a worker would make of them."""

    chunks: list[list[list[Event]]]
    raw_bytes: int

    @property
    def events(self) -> list[Event]:
        """All events in order."""
        return [event for chunk in self.chunks for message in chunk for event in message]


def read_trace(name: str, messages: int | None = None) -> Trace:
    """One of FILES, or its first messages."""
    path, kind = FILES[name]
    source = SourceConfig(
        name="bench", topic="bench", kind="local", format=kind, agents=("*",), environments=("*",)
    )
    limits = WorkerConfig()
    chunks: list[list[list[Event]]] = [[]]
    held = total = 0
    with gzip.open(shared(path)) as file:
        for offset, line in enumerate(islice(file, messages)):
            if chunks[-1] and (
                held + len(line) > limits.chunk_bytes or len(chunks[-1]) >= limits.chunk_messages
            ):
                chunks.append([])
                held = 0
            chunks[-1].append(_events(line, offset, source))
            held += len(line)
            total += len(line)
    return Trace(chunks, total)


def _events(line: bytes, offset: int, source: SourceConfig) -> list[Event]:
    decoded = decode_message(
        line,
        topic_id="bench." + "0" * 32,
        partition=0,
        offset=offset,
        broker_time_ms=1 << 41,
        source=source,
        patterns=ToolPatterns(),
    )
    return [item.event for item in decoded if isinstance(item.event, Event)]


def strings(event: Event) -> Iterator[str]:
    """The payload's string values that the redactor examines; keys and metadata are left out."""
    payload = Payload(input=event.input, output=event.output, attributes=event.attributes)
    node = parse(msgspec.json.encode(payload).decode(), RedactionConfig().max_nesting)
    return (leaf.text for leaf in node.leaves() if leaf.field_class == "text")

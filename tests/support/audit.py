"""Builders of rows and stores for tests: `event_rows`, `dead_letter_row`, `command_row`, `sealed_store`."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pipeline.audit.control import AppendRow, append_rows
from pipeline.audit.store import CONTROL, Store
from pipeline.audit.writer import PartitionWriter, new_writer_id
from schemas.command import Command, Selector
from schemas.record import DeadLetterMeta, EventMeta, Origin, Payload, Row

TOPIC_ID = "agent-events." + "0" * 31 + "1"
START_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z, when the first row of every builder happens."""


def counting_clock(start_ms: int = START_MS) -> Callable[[], int]:
    """A clock that moves on by one millisecond a reading."""
    ticks = itertools.count(start_ms)
    return lambda: next(ticks)


def origin(offset: int, item: int = 0, *, topic_id: str = TOPIC_ID, partition: int = 0) -> Origin:
    return Origin(
        topic_id=topic_id,
        partition=partition,
        offset=offset,
        item=item,
        source="agent-events",
        bound=True,
        broker_time_ms=START_MS + offset,
        broker_time_kind="append",
        ingest_time_ms=START_MS + offset + 5,
        raw_hmac=f"{offset:064x}",
    )


def event_meta(
    offset: int, item: int = 0, *, topic_id: str = TOPIC_ID, partition: int = 0, **changes: Any
) -> EventMeta:
    """The metadata of a tool call; `changes` replace fields of EventMeta."""
    meta = EventMeta(
        schema_version=1,
        start_time_unix_nano=(START_MS + offset) * 1_000_000,
        duration_ns=250_000_000,
        trace_id=f"{offset // 10 + 1:032x}",
        span_id=f"{offset * 8 + item + 1:016x}",
        parent_span_id=None,
        session_id=f"conv_{offset // 50:024d}",
        request_id=None,
        agent_id="invoice-agent",
        agent_version="1.4.2",
        config_version=None,
        environment="production",
        channel="stable",
        principal="svc-invoice",
        credential_id="key-7",
        credential_expires=None,
        scopes=["invoices:read", "invoices:write"],
        end_user=None,
        operation="execute_tool",
        action="update_invoice",
        action_kind="write",
        target=f"invoice/{offset}",
        tool_call_id=f"call_{offset:024d}",
        model="model-large",
        approval_id=None,
        approval_status=None,
        approval_source=None,
        status="ok",
        status_message=None,
        error_type=None,
        http_status=200,
        outcome="ok",
        input_tokens=120,
        output_tokens=48,
        flags=["action_kind_inferred"] if offset % 7 == 0 else [],
        redactions={"EMAIL_ADDRESS": 1} if offset % 3 == 0 else {},
        event_hmac=f"{offset * 8 + item:064x}",
        origin=origin(offset, item, topic_id=topic_id, partition=partition),
    )
    return msgspec.structs.replace(meta, **changes)


def event_row(offset: int, item: int = 0, *, payload_bytes: int = 0, **changes: Any) -> Row:
    """An event row; `changes` go to `event_meta`, `payload_bytes` pads its output."""
    meta = event_meta(offset, item, **changes)
    payload = Payload(
        input={"invoice": offset}, output={"note": "paid ✓ " + "x" * payload_bytes}, attributes={"attempt": 1}
    )
    return row_of(meta, msgspec.json.encode(payload))


def event_rows(start: int, count: int, **changes: Any) -> list[Row]:
    """One event row an offset, from `start`."""
    return [event_row(offset, **changes) for offset in range(start, start + count)]


def dead_letter_row(offset: int, *, topic_id: str = TOPIC_ID, partition: int = 0) -> Row:
    meta = DeadLetterMeta(
        reason="not JSON",
        length=17,
        error_position=3,
        known_keys={"agent_id": "string"},
        origin=origin(offset, topic_id=topic_id, partition=partition),
    )
    return row_of(meta, b"")


def row_of(meta: EventMeta | DeadLetterMeta, payload: bytes) -> Row:
    """The row of a record's metadata and payload."""
    return Row(
        offset=meta.origin.offset,
        item=meta.origin.item,
        kind=meta.kind,
        meta=msgspec.json.encode(meta),
        payload=payload,
        fields=meta,
    )


def command_row(one_id: str, *, agent: str | None = "invoice-agent", at_ms: int = START_MS) -> AppendRow:
    """A trip as a row of `_control`."""
    command = Command(
        id=one_id,
        command="trip",
        at_ms=at_ms,
        by="on-call@example",
        automatic=False,
        reason="write burst",
        selector=Selector(agent=agent) if agent else None,
        mode="off",
    )
    return AppendRow.of(command)


def claim(store: Store, topic_id: str = TOPIC_ID, partition: int = 0) -> PartitionWriter:
    """A writer with an id and a clock of its own."""
    return PartitionWriter.claim(
        store, topic_id, partition, writer_id=new_writer_id(), now_ms=counting_clock()
    )


def seal_batches(writer: PartitionWriter, batches: Sequence[Sequence[Row]]) -> None:
    """Seal each batch up to the offset after its last row."""
    for rows in batches:
        writer.seal(rows, rows[-1].offset + 1)


def sealed_store(
    root: Path,
    *,
    segments: int = 3,
    rows: int = 10,
    partitions: int = 1,
    topic_id: str = TOPIC_ID,
    commands: int = 2,
    at: Store | None = None,
) -> Store:
    """A store of `partitions`, each with `segments` of `rows` events; the last row of every second
    segment is a dead letter. `_control` holds `commands` trips. `at` is a store that is not the directory
    `root`."""
    store = at or Store(root)
    for partition in range(partitions):
        writer = claim(store, topic_id, partition)
        for number in range(segments):
            batch = event_rows(number * rows, rows, topic_id=topic_id, partition=partition)
            if number % 2:
                batch[-1] = dead_letter_row(batch[-1].offset, topic_id=topic_id, partition=partition)
            seal_batches(writer, [batch])
    if commands:
        trips = [command_row(f"trip-{i}", at_ms=START_MS + i) for i in range(commands)]
        append_rows(store, CONTROL, trips, writer_id=new_writer_id(), now_ms=counting_clock())
    return store

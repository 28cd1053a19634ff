"""The record: the canonical redacted bytes of one row, the thing that is hashed.

A record has two parts, each hashed and stored as exactly these bytes: `meta` (this file) and
`payload` (`{"input":…,"output":…,"attributes":…}` of an event; empty where there is none), which
can be erased alone. Field order is the struct's; encoding is `msgspec.json.encode`.
"""

from typing import Any, Literal

import msgspec

from schemas.event import ActionKind, ApprovalSource, Flag, Outcome, Status

RowKind = Literal[
    "event", "dead_letter", "command", "erasure", "hold", "finding", "withdrawal", "incident", "silence"
]
TimeKind = Literal[
    "append",  # the broker's clock at append (Kafka LogAppendTime, our local topics)
    "create",  # the sender's clock (Kafka CreateTime): may page, never trips by itself
    "event",  # the event's own time: a file loaded by an operator, history that must not trip
]


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a row came from. (topic_id, partition, offset, item) is the row identity."""

    topic_id: str
    partition: int
    offset: int
    item: int
    source: str
    bound: bool
    """Whether the source may speak for the identity the event claims."""
    broker_time_ms: int
    broker_time_kind: TimeKind
    ingest_time_ms: int
    raw_hmac: str
    """HMAC-SHA256 (hex) of the raw message under the key `raw`."""
    retry_of: str | None = None
    """Of an event that was read again: its dead letter, `<topic id>/<partition>/<offset>/<item>`.
    The only field that is left out where it is null."""


class EventMeta(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata of an event after redaction, and its origin."""

    kind: Literal["event"] = "event"
    schema_version: int
    start_time_unix_nano: int
    duration_ns: int
    trace_id: str | None
    span_id: str
    parent_span_id: str | None
    session_id: str | None
    request_id: str | None
    agent_id: str
    agent_version: str | None
    config_version: str | None
    environment: str
    channel: str
    principal: str | None
    credential_id: str | None
    credential_expires: str | None
    scopes: list[str]
    end_user: str | None
    operation: str | None
    action: str | None
    action_kind: ActionKind
    target: str | None
    tool_call_id: str | None
    model: str | None
    approval_id: str | None
    approval_status: str | None
    approval_source: ApprovalSource | None
    status: Status
    status_message: str | None
    error_type: str | None
    http_status: int | None
    outcome: Outcome
    input_tokens: int | None
    output_tokens: int | None
    flags: list[Flag]
    redactions: dict[str, int]
    """How many values of each entity type were redacted, metadata and payload together."""
    event_hmac: str
    """HMAC-SHA256 (hex) of the raw event without its origin: equal for repeats, says nothing else."""
    origin: Origin


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """The erasable part of an event, redacted."""

    input: Any
    output: Any
    attributes: dict[str, Any]


class DeadLetterMeta(msgspec.Struct, frozen=True, kw_only=True):
    """A message that could not become an event. Never holds any text of the message."""

    kind: Literal["dead_letter"] = "dead_letter"
    reason: str
    """A fixed phrase from `pipeline/decode/dead_letter.py`, never an exception's text."""
    length: int
    """Bytes of the raw message."""
    error_position: int | None
    """Byte offset of the fault where the decoder knows it."""
    known_keys: dict[str, str]
    """Keys of ours that were present, with the JSON type of each value."""
    origin: Origin


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row on its way into a segment: the record's bytes and the struct they were encoded from."""

    offset: int
    item: int
    kind: RowKind
    meta: bytes
    payload: bytes
    fields: Any
    """The struct that `meta` encodes, as its kind says: what the typed columns are filled from."""

"""The columns of a segment: types, and where in `meta` each typed column is a copy of.

Two layouts: event topics (events, dead letters) and append partitions (`_control`, `_findings`:
commands, findings, incidents). Columns are built by batch: one attribute getter a row, one transpose.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import pyarrow as pa

from pipeline.audit.store import APPEND_PARTITIONS
from schemas.record import Row, RowKind

CHAIN_FIELDS: tuple[pa.Field, ...] = (
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("item", pa.int32(), nullable=False),
    pa.field("kind", pa.string(), nullable=False),
    pa.field("meta", pa.string()),
    pa.field("payload", pa.string()),
    pa.field("salt_m", pa.binary()),
    pa.field("salt_p", pa.binary()),
    pa.field("h", pa.binary(), nullable=False),
    pa.field("cp", pa.binary()),
    pa.field("c", pa.binary()),
)
_STRINGS = pa.list_(pa.string())
_COUNTS = pa.map_(pa.string(), pa.int64())


class TypedColumn(NamedTuple):
    """A typed column and the path in `meta` that it copies, by the row's kind; null for other kinds."""

    name: str
    type: pa.DataType
    paths: Mapping[RowKind, str]
    """Dotted, like `origin.source`."""


def _event(name: str, column_type: pa.DataType | None = None) -> TypedColumn:
    return TypedColumn(name, column_type or pa.string(), {"event": name})


def _origin(name: str, column_type: pa.DataType | None = None) -> TypedColumn:
    path = f"origin.{name}"
    return TypedColumn(name, column_type or pa.string(), {"event": path, "dead_letter": path})


def _dead_letter(name: str, column_type: pa.DataType | None = None) -> TypedColumn:
    return TypedColumn(name, column_type or pa.string(), {"dead_letter": name})


def _append(name: str, paths: Mapping[RowKind, str], column_type: pa.DataType | None = None) -> TypedColumn:
    return TypedColumn(name, column_type or pa.string(), paths)


EVENT_COLUMNS: tuple[TypedColumn, ...] = (
    _origin("topic_id"),
    _origin("partition", pa.int32()),
    _origin("source"),
    _origin("bound", pa.bool_()),
    _origin("broker_time_ms", pa.int64()),
    _origin("broker_time_kind"),
    _event("start_time_unix_nano", pa.int64()),
    _event("duration_ns", pa.int64()),
    _event("trace_id"),
    _event("span_id"),
    _event("parent_span_id"),
    _event("session_id"),
    _event("request_id"),
    _event("agent_id"),
    _event("agent_version"),
    _event("config_version"),
    _event("environment"),
    _event("channel"),
    _event("principal"),
    _event("credential_id"),
    _event("credential_expires"),
    _event("scopes", _STRINGS),
    _event("end_user"),
    _event("operation"),
    _event("action"),
    _event("action_kind"),
    _event("target"),
    _event("tool_call_id"),
    _event("model"),
    _event("approval_id"),
    _event("approval_status"),
    _event("approval_source"),
    _event("status"),
    _event("error_type"),
    _event("http_status", pa.int32()),
    _event("outcome"),
    _event("input_tokens", pa.int64()),
    _event("output_tokens", pa.int64()),
    _event("flags", _STRINGS),
    _event("redactions", _COUNTS),
    _event("event_hmac"),
    _event("status_message"),
    _origin("ingest_time_ms", pa.int64()),
    _origin("raw_hmac"),
    _dead_letter("reason"),
    _dead_letter("length", pa.int64()),
    _dead_letter("error_position", pa.int64()),
)
APPEND_COLUMNS: tuple[TypedColumn, ...] = (
    _append("id", {"command": "id", "finding": "id", "incident": "id"}),
    _append("at_ms", {"command": "at_ms", "finding": "found_at_ms", "incident": "at_ms"}, pa.int64()),
    _append("command", {"command": "command"}),
    _append("finding_id", {"command": "finding_id", "finding": "id"}),
    _append("incident_id", {"finding": "incident_id", "incident": "incident_id"}),
    _append("detector", {"finding": "finding.detector"}),
    _append(
        "environment",
        {"command": "selector.environment", "finding": "finding.environment", "incident": "environment"},
    ),
    _append(
        "agent_id", {"command": "selector.agent", "finding": "finding.agent_id", "incident": "agent_id"}
    ),
    _append("severity", {"finding": "finding.severity", "incident": "severity"}),
    _append("status", {"incident": "status"}),
    _append("by", {"command": "by", "incident": "by"}),
)

DICTIONARY_COLUMNS: tuple[str, ...] = (
    *("kind", "topic_id", "partition", "source", "bound", "broker_time_kind", "agent_id"),
    *("agent_version", "config_version", "environment", "channel", "principal", "credential_id"),
    *("credential_expires", "scopes", "end_user", "operation", "action", "action_kind", "target", "model"),
    *("approval_status", "approval_source", "status", "error_type", "http_status", "outcome", "flags"),
    *("status_message", "reason", "command", "detector", "severity", "by"),
)
"""Few distinct values: dictionary-encoded. Everything else is written plain."""
BLOOM_COLUMNS: tuple[str, ...] = ("trace_id", "span_id", "session_id")


def typed_columns(topic_id: str) -> tuple[TypedColumn, ...]:
    """The typed columns of a partition's segments."""
    return APPEND_COLUMNS if topic_id in APPEND_PARTITIONS else EVENT_COLUMNS


def segment_schema(topic_id: str) -> pa.Schema:
    """The Arrow schema of a partition's segments, without footer metadata."""
    typed = [pa.field(column.name, column.type) for column in typed_columns(topic_id)]
    return pa.schema([*CHAIN_FIELDS, *typed])


def typed_arrays(topic_id: str, rows: Sequence[Row]) -> list[pa.Array[Any]]:
    """One Arrow array a typed column, each as long as `rows`."""
    columns = typed_columns(topic_id)
    getters: dict[RowKind, Callable[[Any], tuple[Any, ...]]] = {
        kind: _getter(columns, kind) for kind in {row.kind for row in rows}
    }
    tuples = [getters[row.kind](row.fields) for row in rows]
    transposed = zip(*tuples, strict=True) if tuples else iter([()] * len(columns))
    return [
        pa.array(_as_pairs(values) if pa.types.is_map(column.type) else values, column.type)
        for column, values in zip(columns, transposed, strict=True)
    ]


def _as_pairs(values: Sequence[dict[str, int] | None]) -> list[list[tuple[str, int]] | None]:
    return [None if counts is None else list(counts.items()) for counts in values]


def _getter(columns: Sequence[TypedColumn], kind: RowKind) -> Callable[[Any], tuple[Any, ...]]:
    """A function from a row's struct to its values, in the order of `columns`."""
    paths = [column.paths.get(kind) for column in columns]
    present = [path for path in paths if path is not None]
    if kind == "event":
        # The columns of dead letters come last, so that the hot path is one C call and a concatenation.
        values_of, nulls = attrgetter(*present), (None,) * (len(paths) - len(present))
        if paths == [*present, *nulls]:
            return lambda fields: values_of(fields) + nulls
    split = [path.split(".") if path else [] for path in paths]
    return lambda fields: tuple(_follow(fields, names) for names in split)


def _follow(fields: Any, names: Sequence[str]) -> Any:
    if not names:
        return None
    for name in names:
        fields = None if fields is None else getattr(fields, name)
    return fields

"""The columns of a segment: types, and where in `meta` each typed column is a copy of.

Two layouts: event topics (events, dead letters) and append partitions (`_control`, `_findings`:
commands, erasures, holds, findings, incidents, silences). Columns are built by batch: one attribute of all
rows at a time.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from pipeline.audit.arrow import Array, DataType, Field, Schema, pa, pc
from pipeline.audit.store import APPEND_PARTITIONS
from schemas.record import Row, RowKind

CHAIN_FIELDS: tuple[Field, ...] = (
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
    type: DataType
    paths: Mapping[RowKind, str]
    """Dotted, like `origin.source`."""


def _event(name: str, column_type: DataType | None = None) -> TypedColumn:
    return TypedColumn(name, column_type or pa.string(), {"event": name})


def _origin(name: str, column_type: DataType | None = None) -> TypedColumn:
    path = f"origin.{name}"
    return TypedColumn(name, column_type or pa.string(), {"event": path, "dead_letter": path})


def _dead_letter(name: str, column_type: DataType | None = None) -> TypedColumn:
    return TypedColumn(name, column_type or pa.string(), {"dead_letter": name})


def _append(name: str, paths: Mapping[RowKind, str], column_type: DataType | None = None) -> TypedColumn:
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
_IN_APPEND_PARTITIONS: tuple[RowKind, ...] = (
    *("command", "erasure", "hold", "finding", "withdrawal", "incident", "silence"),
)
_TELLING: tuple[RowKind, ...] = ("withdrawal", "incident", "silence")
_BY_SOMEBODY: tuple[RowKind, ...] = ("command", "erasure", "hold", "incident", "silence")
APPEND_COLUMNS: tuple[TypedColumn, ...] = (
    _append("id", dict.fromkeys(_IN_APPEND_PARTITIONS, "id")),
    _append("at_ms", {**dict.fromkeys(_IN_APPEND_PARTITIONS, "at_ms"), "finding": "found_at_ms"}, pa.int64()),
    _append("command", {"command": "command"}),
    _append("finding_id", {"command": "finding_id", "finding": "id", "withdrawal": "finding_id"}),
    _append("incident_id", dict.fromkeys(("finding", "withdrawal", "incident"), "incident_id")),
    _append("detector", {"finding": "finding.detector", "silence": "detector"}),
    _append(
        "environment",
        {
            "command": "selector.environment",
            "finding": "finding.environment",
            **dict.fromkeys(_TELLING, "environment"),
        },
    ),
    _append(
        "agent_id",
        {"command": "selector.agent", "finding": "finding.agent_id", **dict.fromkeys(_TELLING, "agent_id")},
    ),
    _append("severity", {"finding": "finding.severity", "incident": "severity"}),
    _append("status", {"incident": "status"}),
    _append("by", dict.fromkeys(_BY_SOMEBODY, "by")),
)

DICTIONARY_COLUMNS: tuple[str, ...] = (
    *("kind", "topic_id", "partition", "source", "bound", "broker_time_kind", "agent_id"),
    *("agent_version", "config_version", "environment", "channel", "principal", "credential_id"),
    *("credential_expires", "scopes", "end_user", "operation", "action", "action_kind", "target", "model"),
    *("approval_status", "approval_source", "status", "error_type", "http_status", "outcome", "flags"),
    *("status_message", "reason", "command", "detector", "severity", "by"),
)
"""Few distinct values: dictionary-encoded."""
DELTA_COLUMNS: tuple[str, ...] = (
    *("offset", "item", "broker_time_ms", "start_time_unix_nano", "duration_ns", "ingest_time_ms", "at_ms"),
)
"""Numbers near their neighbours: stored as differences, which are smaller and read in half the time.
Everything else is written plain."""
BLOOM_COLUMNS: tuple[str, ...] = ("trace_id", "span_id", "session_id")


def typed_columns(topic_id: str) -> tuple[TypedColumn, ...]:
    """The typed columns of a partition's segments."""
    return APPEND_COLUMNS if topic_id in APPEND_PARTITIONS else EVENT_COLUMNS


def segment_schema(topic_id: str) -> Schema:
    """The Arrow schema of a partition's segments, without footer metadata."""
    typed = [pa.field(column.name, column.type) for column in typed_columns(topic_id)]
    return pa.schema([*CHAIN_FIELDS, *typed])


def typed_arrays(topic_id: str, rows: Sequence[Row]) -> list[Array]:
    """One Arrow array a typed column, each as long as `rows`."""
    columns = typed_columns(topic_id)
    places: dict[RowKind, list[int]] = {}
    for i, row in enumerate(rows):
        places.setdefault(row.kind, []).append(i)
    groups = [_arrays(columns, kind, [rows[i].fields for i in indexes]) for kind, indexes in places.items()]
    if not groups:
        return [pa.array([], column.type) for column in columns]
    if len(groups) == 1:
        return groups[0]
    stacked = pa.array([i for indexes in places.values() for i in indexes], pa.int64())
    order = pc.sort_indices(stacked)
    return [pa.concat_arrays(parts).take(order) for parts in zip(*groups, strict=True)]


def _arrays(columns: Sequence[TypedColumn], kind: RowKind, structs: Sequence[Any]) -> list[Array]:
    """The columns of rows of one kind. Reads attribute by attribute: the fastest way over structs."""
    owners: dict[str, Sequence[Any]] = {"": structs}
    arrays: list[Array] = []
    for column in columns:
        path = column.paths.get(kind)
        if path is None:
            arrays.append(pa.nulls(len(structs), column.type))
            continue
        owner, _, name = path.rpartition(".")
        if owner not in owners:
            owners[owner] = list(map(attrgetter(owner), structs))
        values = _attributes(owners[owner], name)
        arrays.append(pa.array(_as_pairs(values) if column.type == _COUNTS else values, column.type))
    return arrays


def _attributes(structs: Sequence[Any], name: str) -> list[Any]:
    """The attribute of each; None where the struct itself is None (a command without a selector)."""
    get = attrgetter(name)
    try:
        return list(map(get, structs))
    except AttributeError:
        return [None if one is None else get(one) for one in structs]


def _as_pairs(values: Sequence[dict[str, int]]) -> list[list[tuple[str, int]]]:
    return [list(counts.items()) if counts else [] for counts in values]

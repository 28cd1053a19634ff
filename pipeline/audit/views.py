"""The views that analysts query: SQL over the live files, and a comment on each view and column.

`docs/queries.md` describes them; a test holds that page to this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.audit.columns import APPEND_COLUMNS, CHAIN_FIELDS, EVENT_COLUMNS, TypedColumn

_DUCKDB_TYPES = {
    "string": "VARCHAR",
    "int64": "BIGINT",
    "int32": "INTEGER",
    "bool": "BOOLEAN",
    "binary": "BLOB",
    "list<item: string>": "VARCHAR[]",
    "map<string, int64>": "MAP(VARCHAR, BIGINT)",
}


class View(NamedTuple):
    """A view: its name, what it is for, and its SQL."""

    name: str
    comment: str
    sql: str


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def rows_sql(paths: Sequence[str], columns: Sequence[TypedColumn]) -> str:
    """Every stored column of these files; without files, no rows of the same types."""
    if paths:
        return f"SELECT * FROM read_parquet([{', '.join(map(quoted, paths))}])"  # noqa: S608 (quoted file names)
    fields = [(field.name, str(field.type)) for field in CHAIN_FIELDS]
    fields += [(column.name, str(column.type)) for column in columns]
    nothing = ", ".join(f'NULL::{_DUCKDB_TYPES[kind]} AS "{name}"' for name, kind in fields)
    return f"SELECT {nothing} WHERE false"


def base_views(
    event_paths: Sequence[str], control_paths: Sequence[str], finding_paths: Sequence[str]
) -> list[View]:
    """The views straight over the files, that the others stand on."""
    return [
        View(
            "all_rows",
            "Every row of the event topics as stored, repeats and dead letters included, and its chain.",
            rows_sql(event_paths, EVENT_COLUMNS),
        ),
        View("control_rows", "Every row of _control as stored.", rows_sql(control_paths, APPEND_COLUMNS)),
        View("finding_rows", "Every row of _findings as stored.", rows_sql(finding_paths, APPEND_COLUMNS)),
    ]


def derived_views(has_repeats: bool) -> list[View]:
    """The views for people. `has_repeats` false leaves the look-up of repeats out of `events`."""
    without_repeats = _WITHOUT_REPEATS if has_repeats else ""
    return [
        View("events", _EVENTS_COMMENT, _EVENTS + without_repeats),
        View(
            "traces", "One row a trace: its span of time, agents, outcomes and tokens.", _grouped("trace_id")
        ),
        View(
            "sessions",
            "One row a session: its span of time, agents, outcomes and tokens.",
            _grouped("session_id"),
        ),
        View(
            "agents_by_minute",
            "Each agent's events of each minute (by end time): outcomes, writes, tokens, durations.",
            _AGENTS_BY_MINUTE,
        ),
        View("findings", "What the detectors concluded, one row a finding.", _FINDINGS),
        View("incidents", "Findings grouped for a person: the latest state of each incident.", _INCIDENTS),
        View(
            "killswitch",
            "Every command of the kill switch, in the order in which it was sealed.",
            _KILLSWITCH,
        ),
        View("segments", "The live files of the store and what the log says of each.", "FROM live_segments"),
        View("checkpoints", "Signed statements of the log's size and root.", _CHECKPOINTS),
        View(
            "dead_letters",
            "Messages that could not become events: why, how long, never their text.",
            _DEAD_LETTERS,
        ),
    ]


COLUMN_COMMENTS: dict[str, dict[str, str]] = {
    "events": {
        "offset": "with topic_id, partition and item: the row's identity",
        "item": "number of the event in its message, from 0",
        "start_time": "UTC",
        "end_time": "UTC; the event's time for detectors",
        "broker_time": "UTC; when the broker appended the message, unless broker_time_kind says otherwise",
        "outcome": "ok, error, denied, throttled or timeout",
        "action_kind": "none, read, write, external or unknown",
        "bound": "whether the source may speak for this agent and environment",
        "end_user": "a pseudonym",
        "redactions": "how many values of each type were redacted in this event",
        "input": "redacted; JSON",
        "output": "redacted; JSON",
        "attributes": "redacted; JSON",
        "event_hmac": "equal for repeats of one event, says nothing else",
    },
    "agents_by_minute": {"minute": "UTC", "p95_ms": "95th percentile of the events' duration"},
    "findings": {
        "facts": "the numbers behind it; JSON",
        "evidence": "sample traces, sessions and rows; JSON",
    },
    "segments": {"path": "absolute path", "start": "first offset", "end": "offset after the last"},
}

_EVENTS_COMMENT = (
    "One row an event. A repeat (the same event of the same source within 24 hours) is left out here and "
    "kept in all_rows."
)
_TIMES = """
    make_timestamp(start_time_unix_nano // 1000) AS start_time,
    make_timestamp((start_time_unix_nano + duration_ns) // 1000) AS end_time,
    epoch_ms(broker_time_ms) AS broker_time,
    duration_ns / 1e6 AS duration_ms,
"""
_EVENTS = f"""
SELECT topic_id, "partition", "offset", item, {_TIMES}
    trace_id, span_id, parent_span_id, session_id, request_id,
    environment, agent_id, agent_version, config_version, channel,
    principal, credential_id, credential_expires, scopes, end_user,
    operation, action, action_kind, target, tool_call_id, model,
    approval_id, approval_status, approval_source,
    status, status_message, error_type, http_status, outcome, input_tokens, output_tokens,
    flags, redactions, source, bound, broker_time_kind,
    start_time_unix_nano, duration_ns, broker_time_ms, ingest_time_ms, event_hmac, raw_hmac,
    nullif(payload, '')::JSON->'$.input' AS input,
    nullif(payload, '')::JSON->'$.output' AS output,
    nullif(payload, '')::JSON->'$.attributes' AS attributes
FROM all_rows AS r
WHERE kind = 'event' AND agent_id IS NOT NULL
"""  # noqa: S608 (SQL of ours)
_WITHOUT_REPEATS = """
  AND NOT EXISTS (FROM repeats AS p WHERE p.topic_id = r.topic_id AND p."partition" = r."partition"
                  AND p."offset" = r."offset" AND p.item = r.item)
"""


def _grouped(key: str) -> str:
    other = "session" if key == "trace_id" else "trace"
    return f"""
SELECT {key},
    min(start_time) AS start_time,
    max(end_time) AS end_time,
    epoch_ms(max(end_time) - min(start_time)) AS duration_ms,
    count(*) AS events,
    list_sort(list_distinct(list(agent_id))) AS agents,
    any_value(environment) AS environment,
    count(DISTINCT {other}_id) AS {other}s,
    count(*) FILTER (outcome <> 'ok') AS failed,
    count(*) FILTER (outcome = 'denied') AS denied,
    count(*) FILTER (action_kind = 'write') AS writes,
    sum(input_tokens)::BIGINT AS input_tokens,
    sum(output_tokens)::BIGINT AS output_tokens
FROM events WHERE {key} IS NOT NULL GROUP BY {key}
"""  # noqa: S608 (names of ours)


_AGENTS_BY_MINUTE = """
SELECT environment, agent_id, date_trunc('minute', end_time) AS minute,
    count(*) AS events,
    count(*) FILTER (outcome = 'error') AS errors,
    count(*) FILTER (outcome = 'denied') AS denied,
    count(*) FILTER (outcome = 'throttled') AS throttled,
    count(*) FILTER (outcome = 'timeout') AS timeouts,
    count(*) FILTER (action_kind = 'write') AS writes,
    count(*) FILTER (action_kind = 'external') AS external,
    quantile_cont(duration_ms, 0.95) AS p95_ms,
    sum(input_tokens)::BIGINT AS input_tokens,
    sum(output_tokens)::BIGINT AS output_tokens
FROM events GROUP BY ALL
"""
_FINDINGS = """
SELECT id AS finding_id, epoch_ms(at_ms) AS found_at, environment, agent_id, detector, severity,
    meta->>'$.finding.summary' AS summary,
    epoch_ms((meta->>'$.finding.window_start_ms')::BIGINT) AS window_start,
    epoch_ms((meta->>'$.finding.window_end_ms')::BIGINT) AS window_end,
    incident_id,
    meta->>'$.finding.kind' AS kind,
    meta->'$.finding.key' AS "key",
    meta->'$.finding.facts' AS facts,
    (meta->>'$.finding.may_trip')::BOOLEAN AS may_trip,
    (meta->>'$.late')::BOOLEAN AS late,
    meta->'$.evidence' AS evidence,
    meta->>'$.finding.runbook' AS runbook,
    meta->>'$.finding.config_hash' AS config_hash
FROM finding_rows WHERE kind = 'finding' AND meta IS NOT NULL
"""
_INCIDENTS = """
SELECT incident_id,
    arg_max(status, "offset") AS status,
    arg_max(severity, "offset") AS severity,
    any_value(environment) AS environment,
    any_value(agent_id) AS agent_id,
    epoch_ms(min(at_ms)) AS opened_at,
    epoch_ms(max(at_ms)) AS updated_at,
    arg_max("by", "offset") AS changed_by,
    arg_max(meta->>'$.reason', "offset") AS reason,
    coalesce(any_value(f.findings), 0) AS findings,
    any_value(f.detectors) AS detectors
FROM finding_rows AS i
LEFT JOIN (SELECT incident_id, count(*) AS findings, list_sort(list_distinct(list(detector))) AS detectors
           FROM finding_rows WHERE kind = 'finding' GROUP BY incident_id) AS f USING (incident_id)
WHERE kind = 'incident' AND meta IS NOT NULL
GROUP BY incident_id
"""
_KILLSWITCH = """
SELECT "offset", id, epoch_ms(at_ms) AS ordered_at, command, agent_id, environment,
    meta->>'$.selector.version' AS agent_version,
    meta->>'$.selector.tool' AS tool,
    meta->>'$.mode' AS mode,
    "by" AS ordered_by,
    (meta->>'$.automatic')::BOOLEAN AS automatic,
    meta->>'$.reason' AS reason,
    epoch_ms((meta->>'$.until_ms')::BIGINT) AS until,
    finding_id,
    from_json(meta->'$.trips', '["VARCHAR"]') AS trips,
    meta->>'$.request_id' AS request_id
FROM control_rows WHERE kind = 'command' AND meta IS NOT NULL
"""
_CHECKPOINTS = """
SELECT NULL::BIGINT AS size, NULL::VARCHAR AS root, NULL::TIMESTAMP AS signed_at, NULL::VARCHAR AS key_id,
    NULL::VARCHAR[] AS anchors WHERE false
"""
_DEAD_LETTERS = """
SELECT topic_id, "partition", "offset", item, source, epoch_ms(broker_time_ms) AS broker_time,
    reason, length, error_position, meta->'$.known_keys' AS known_keys, raw_hmac
FROM all_rows WHERE kind = 'dead_letter' AND meta IS NOT NULL
"""

"""Views of what agents did: events, and groups of them; and of messages that are no events."""

from pipeline.audit.views.base import View


def event_views(has_repeats: bool) -> list[View]:
    """`has_repeats` false leaves the look-up of repeats out of `events`."""
    return [
        View(
            "events",
            _EVENTS_COMMENT,
            _EVENTS + (_WITHOUT_REPEATS if has_repeats else "") + _WHERE_EVENTS,
            _EVENT_COLUMNS,
        ),
        View(
            "traces",
            "One row a trace: its span of time, agents, outcomes and tokens.",
            _grouped("trace_id"),
            _GROUP_COLUMNS | {"sessions": "How many sessions it touched."},
        ),
        View(
            "sessions",
            "One row a session: its span of time, agents, outcomes and tokens.",
            _grouped("session_id"),
            _GROUP_COLUMNS | {"traces": "How many traces it had."},
        ),
        View(
            "agents_by_minute",
            "Each agent's events of each minute (by end time): outcomes, writes, tokens, durations.",
            _AGENTS_BY_MINUTE,
            _MINUTE_COLUMNS,
        ),
        View(
            "dead_letters",
            "Messages that could not become events: why, how long, never their text.",
            _DEAD_LETTERS,
            {
                "reason": "Why it is no event: a fixed phrase.",
                "known_keys": "Keys of ours that were present, with the JSON type of each value; JSON.",
            },
        ),
    ]


_EVENTS_COMMENT = (
    "One row an event. A repeat (the same event of the same source within 24 hours) is left out here and "
    "kept in all_rows."
)
_EVENT_COLUMNS = {
    "input": "What went in, redacted; JSON, null where it was erased or this is a copy for readers.",
    "output": "What came out, redacted; JSON, null where it was erased or this is a copy for readers.",
    "attributes": "Further attributes as sent, redacted; JSON, null where input and output are.",
    "input_tokens": "Tokens read by the model.",
    "output_tokens": "Tokens written by the model.",
}
_GROUP_COLUMNS = {
    "start_time": "When the first event began, UTC.",
    "end_time": "When the last event ended, UTC.",
    "duration_ms": "From the first event's begin to the last one's end, ms.",
    "environment": "The environment of one of its events.",
    "agents": "The agents that took part, sorted.",
}
_MINUTE_COLUMNS = {
    "minute": "The minute in which the events ended, UTC.",
    "errors": "Events with outcome error.",
    "throttled": "Events with outcome throttled.",
    "timeouts": "Events with outcome timeout.",
    "external": "Events that reached outside (action_kind external).",
    "p95_ms": "95th percentile of the events' duration, ms.",
}
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
"""  # noqa: S608 (SQL of ours)
_WITHOUT_REPEATS = """
ANTI JOIN repeats AS p
  ON p.topic_id = r.topic_id AND p."partition" = r."partition" AND p."offset" = r."offset" AND p.item = r.item
"""
"""As NOT EXISTS it would read every column of every row, whatever is asked for."""
_WHERE_EVENTS = "WHERE kind = 'event' AND agent_id IS NOT NULL"


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
_DEAD_LETTERS = """
SELECT topic_id, "partition", "offset", item, source, epoch_ms(broker_time_ms) AS broker_time,
    reason, length, error_position, meta->'$.known_keys' AS known_keys, raw_hmac
FROM all_rows WHERE kind = 'dead_letter' AND meta IS NOT NULL
"""

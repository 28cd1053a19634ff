"""The usual questions under names: `FROM trace('…')`. Stored in the catalog, with comments.

A parameter must not be called what a column is called that its query uses.
"""

from pipeline.audit.views.base import Macro


def _moment(parameter: str, otherwise: str) -> str:
    """A parameter as UTC: a text, a date or a timestamp is taken as UTC, one with a time zone is converted.

    A plain cast to TIMESTAMP would drop the zone, and make the query depend on the session's.
    """
    text = f"{parameter}::VARCHAR"
    return (
        f"coalesce(CASE WHEN regexp_matches({text}, ':.*[+-][0-9]') "
        f"THEN make_timestamp(epoch_us({text}::TIMESTAMPTZ)) ELSE {text}::TIMESTAMP END, "
        f"'{otherwise}'::TIMESTAMP)"
    )


_SINCE, _UNTIL = _moment("since", "-infinity"), _moment("until", "infinity")
_IN_RANGE = f"end_time >= {_SINCE} AND end_time < {_UNTIL}"
_RANGE = "since := NULL, until := NULL"
_STEPS = """
SELECT start_time, end_time, duration_ms, trace_id, session_id, environment, agent_id, principal, operation,
    action, action_kind, target, outcome, error_type, http_status, status_message, approval_id,
    span_id, parent_span_id, input, output
FROM events
"""
_COMMANDS_OF_AGENT = """
WITH trips AS (
    SELECT id FROM killswitch AS k WHERE command = 'trip' AND (k.agent_id = agent OR k.agent_id IS NULL)
), named AS (
    SELECT id FROM killswitch WHERE list_has_any(trips, (SELECT list(id) FROM trips))
)
"""
_AGENT_TIMELINE = f"""{_COMMANDS_OF_AGENT}
SELECT end_time AS happened_at, 'event' AS entry, environment, action AS what, target, outcome,
    coalesce(status_message, error_type) AS details, duration_ms, trace_id, session_id, span_id AS id
FROM events AS e WHERE e.agent_id = agent AND {_IN_RANGE}
UNION ALL
SELECT window_end, 'finding', environment, detector, NULL, severity, summary, NULL, NULL, NULL, finding_id
FROM findings AS f WHERE f.agent_id = agent AND window_end >= {_SINCE} AND window_start < {_UNTIL}
UNION ALL
SELECT ordered_at, 'command', environment, command, tool, mode, reason, NULL, NULL, NULL, id
FROM killswitch AS k
WHERE (id IN (FROM trips) OR id IN (FROM named) OR request_id IN (FROM named))
  AND ordered_at >= {_SINCE} AND ordered_at < {_UNTIL}
ORDER BY happened_at, entry, id
"""  # noqa: S608 (SQL of ours)
_INCIDENT_HISTORY = """
WITH found AS (SELECT * FROM findings AS f WHERE f.incident_id = incident)
SELECT window_end AS happened_at, 'finding' AS entry, detector AS what, severity AS state,
    'auditfuse' AS changed_by, summary AS details, finding_id AS id
FROM found
UNION ALL
SELECT epoch_ms(at_ms), 'incident', status, severity, "by", meta->>'$.reason', id
FROM finding_rows AS r WHERE kind = 'incident' AND meta IS NOT NULL AND r.incident_id = incident
UNION ALL
SELECT ordered_at, 'command', command, mode, ordered_by, reason, id
FROM killswitch WHERE finding_id IN (SELECT finding_id FROM found)
ORDER BY happened_at, entry, id
"""
_WHO_TOUCHED = """
SELECT environment, agent_id, principal, action, action_kind, target, count(*) AS times,
    count(*) FILTER (outcome <> 'ok') AS failed, min(start_time) AS first_time, max(end_time) AS last_time,
    arg_max(trace_id, end_time) AS last_trace_id
FROM events WHERE target = what OR (contains(what, '%') AND target LIKE what)
GROUP BY ALL ORDER BY last_time DESC, environment, agent_id, action
"""
_ERRORS_BY_AGENT = f"""
SELECT environment, agent_id, count(*) AS events,
    count(*) FILTER (outcome <> 'ok') AS failed,
    count(*) FILTER (outcome = 'error') AS errors,
    count(*) FILTER (outcome = 'denied') AS denied,
    count(*) FILTER (outcome = 'throttled') AS throttled,
    count(*) FILTER (outcome = 'timeout') AS timeouts,
    round(count(*) FILTER (outcome <> 'ok') / count(*), 4) AS failed_share,
    mode(coalesce(error_type, outcome)) FILTER (outcome <> 'ok') AS most_frequent_error
FROM events WHERE {_IN_RANGE}
GROUP BY ALL ORDER BY failed DESC, environment, agent_id
"""  # noqa: S608 (SQL of ours)
_TOP_TOOLS = f"""
SELECT action, action_kind, count(*) AS calls, count(DISTINCT agent_id) AS agents,
    count(*) FILTER (outcome <> 'ok') AS failed,
    round(quantile_cont(duration_ms, 0.5), 1) AS p50_ms,
    round(quantile_cont(duration_ms, 0.95), 1) AS p95_ms,
    round(max(duration_ms), 1) AS max_ms
FROM events WHERE operation = 'execute_tool' AND {_IN_RANGE}
GROUP BY ALL ORDER BY calls DESC, action
"""  # noqa: S608 (SQL of ours)
_UNAPPROVED = f"""
SELECT environment, agent_id, principal, action, action_kind, target, count(*) AS times,
    min(start_time) AS first_time, max(end_time) AS last_time, arg_max(trace_id, end_time) AS last_trace_id
FROM events
WHERE action_kind IN ('write', 'external') AND outcome = 'ok' AND {_IN_RANGE}
  AND (approval_id IS NULL OR list_contains(flags, 'approval_not_bound'))
GROUP BY ALL ORDER BY times DESC, environment, agent_id, action
"""  # noqa: S608 (SQL of ours)

MACROS: tuple[Macro, ...] = (
    Macro(
        "trace",
        "id",
        "Every step of one trace, in order.",
        _STEPS + 'WHERE trace_id = id ORDER BY start_time, "offset", item',
        "FROM trace('5f2c6a3b90d14e7788c1b0a2d4e6f801')",
    ),
    Macro(
        "session",
        "id",
        "Every step of one session, in order.",
        _STEPS + 'WHERE session_id = id ORDER BY start_time, "offset", item',
        "FROM session('conv_20c5c7a50b2c6d3d5e0e7d5f')",
    ),
    Macro(
        "agent_timeline",
        f"agent, {_RANGE}",
        "What one agent did, what was found about it and what was ordered about it, in order of time. "
        "A finding stands at the end of its window.",
        _AGENT_TIMELINE,
        "FROM agent_timeline('invoice-agent', '2026-11-02 14:00', '2026-11-02 15:00')",
    ),
    Macro(
        "who_touched",
        "what",
        "Who acted on a target, how and how often, the latest first. A text with % is a pattern as in LIKE.",
        _WHO_TOUCHED,
        "FROM who_touched('erp://ledger%')",
    ),
    Macro(
        "done_for",
        "person",
        "Every step on behalf of one end user, by pseudonym, in order.",
        _STEPS + 'WHERE end_user = person ORDER BY start_time, "offset", item',
        "FROM done_for('<EMAIL_ADDRESS:k1.3f9a2c7100d4e8b2>')",
    ),
    Macro(
        "incident_history",
        "incident",
        "One incident from its first finding to its end: findings, changes by people, commands.",
        _INCIDENT_HISTORY,
        "FROM incident_history('inc_5c0f4be2a1f94bb8a37e1f0c')",
    ),
    Macro(
        "errors_by_agent",
        _RANGE,
        "Failed events of each agent by outcome, most first.",
        _ERRORS_BY_AGENT,
        "FROM errors_by_agent(ago('1 hour'))",
    ),
    Macro(
        "top_tools",
        _RANGE,
        "Calls of each tool with the median and the 95th percentile of their duration, most first.",
        _TOP_TOOLS,
        "FROM top_tools(ago('7 days'))",
    ),
    Macro(
        "unapproved_writes",
        _RANGE,
        "What was written or sent outside without an approval that counts, most first.",
        _UNAPPROVED,
        "FROM unapproved_writes(ago('1 day')) WHERE environment = 'prod'",
    ),
    Macro(
        "ago",
        "span",
        "The moment that long before now, UTC.",
        "epoch_ms(epoch_ms(now())) - span::INTERVAL",
        "SELECT ago('90 minutes')",
        is_table=False,
    ),
)
"""`since` and `until` are both optional: at or after the first, before the second, by end time."""

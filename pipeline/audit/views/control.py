"""Views of what was concluded and ordered: findings, incidents, kill switch, erasures and legal holds."""

from pipeline.audit.views.base import View


def control_views() -> list[View]:
    """Over `finding_rows` and `control_rows`."""
    return [
        View(
            "findings",
            "What the detectors concluded, one row a finding.",
            _FINDINGS,
            _FINDING_COLUMNS,
        ),
        View(
            "incidents",
            "Findings grouped for a person: the latest state of each incident.",
            _INCIDENTS,
            _INCIDENT_COLUMNS,
        ),
        View(
            "killswitch",
            "Every command of the kill switch, in the order in which it was sealed.",
            _KILLSWITCH,
            _KILLSWITCH_COLUMNS,
        ),
        View(
            "silences",
            "Who silenced whose pages, until when and why, one row a silence; what was found was recorded.",
            _SILENCES,
            _SILENCE_COLUMNS,
        ),
        View(
            "erasures",
            "What was erased and why, one row an erasure; never the person or what was looked for.",
            _ERASURES,
            _ERASURE_COLUMNS,
        ),
        View(
            "holds",
            "Legal holds, one row a hold: what it keeps from erasure and retention, and until when.",
            _HOLDS,
            _HOLD_COLUMNS,
        ),
    ]


_FINDING_COLUMNS = {
    "found_at": "When the detector concluded it, UTC.",
    "summary": "What happened in one line, with the numbers and what is normal.",
    "window_start": "The window it speaks of: begin, UTC.",
    "window_end": "The window it speaks of: end, UTC.",
    "kind": "statistical, floor (a fixed limit) or rule.",
    "key": "What the detector looks at besides environment and agent; JSON.",
    "facts": "The numbers behind it: threshold, baseline, e-value; JSON.",
    "may_trip": "Whether it was certain enough to trip the kill switch.",
    "late": "Whether events arrived after their window had been judged.",
    "shadow": "Whether the detector was only being tried out: no incident, no page, no trip.",
    "withdrawn": "Why it no longer holds; null where it does.",
    "evidence": "Sample traces, sessions and rows, and SQL to look further; JSON.",
    "runbook": "The runbook's name.",
    "config_hash": "Hash of the detector's configuration.",
}
_FINDINGS = """
SELECT f.id AS finding_id, epoch_ms(at_ms) AS found_at, environment, agent_id, detector, severity,
    meta->>'$.finding.summary' AS summary,
    epoch_ms((meta->>'$.finding.window_start_ms')::BIGINT) AS window_start,
    epoch_ms((meta->>'$.finding.window_end_ms')::BIGINT) AS window_end,
    nullif(f.incident_id, '') AS incident_id,
    meta->>'$.finding.kind' AS kind,
    meta->'$.finding.key' AS "key",
    meta->'$.finding.facts' AS facts,
    (meta->>'$.finding.may_trip')::BOOLEAN AS may_trip,
    (meta->>'$.late')::BOOLEAN AS late,
    coalesce((meta->>'$.finding.shadow')::BOOLEAN, false) AS shadow,
    w.reason AS withdrawn,
    meta->'$.evidence' AS evidence,
    meta->>'$.finding.runbook' AS runbook,
    meta->>'$.finding.config_hash' AS config_hash
FROM finding_rows AS f
LEFT JOIN (SELECT finding_id, any_value(meta->>'$.reason') AS reason FROM finding_rows
           WHERE kind = 'withdrawal' AND meta IS NOT NULL GROUP BY finding_id) AS w USING (finding_id)
WHERE f.kind = 'finding' AND f.meta IS NOT NULL
"""
_INCIDENT_COLUMNS = {
    "incident_id": "The incident, as pages and `auditfuse incidents` name it.",
    "status": "open, acknowledged or resolved.",
    "opened_at": "When it was opened, UTC.",
    "updated_at": "When it last changed, UTC.",
    "changed_by": "Who changed it last.",
    "reason": "What they said.",
    "verdict": "real, false or expected, as said by who resolved it; null: nobody said.",
    "findings": "How many findings it groups.",
    "detectors": "The detectors that they came from, sorted.",
}
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
    arg_max(meta->>'$.verdict', "offset") FILTER (meta->>'$.verdict' IS NOT NULL) AS verdict,
    coalesce(any_value(f.findings), 0) AS findings,
    any_value(f.detectors) AS detectors
FROM finding_rows AS i
LEFT JOIN (SELECT incident_id, count(*) AS findings, list_sort(list_distinct(list(detector))) AS detectors
           FROM finding_rows WHERE kind = 'finding' GROUP BY incident_id) AS f USING (incident_id)
WHERE kind = 'incident' AND meta IS NOT NULL
GROUP BY incident_id
"""
_KILLSWITCH_COLUMNS = {
    "offset": "Position in _control: the order in which commands were sealed.",
    "id": "The command.",
    "ordered_at": "When it was ordered, UTC; a trip is in force from then on.",
    "command": "trip, reset_request, reset_approval, step_down or expire.",
    "environment": "The environment that a trip covers; null: every one.",
    "agent_id": "The agent that a trip covers; null: every one.",
    "agent_version": "The agent's version that a trip covers; null: every one.",
    "tool": "The tool that a trip covers; null: every one.",
    "mode": "on, throttle, approval, read_only or off.",
    "ordered_by": "Who ordered it: a person, or auditfuse where automatic.",
    "automatic": "Whether a finding tripped it by policy.",
    "until": "When a trip ends by itself, UTC; null: not at all.",
    "finding_id": "The finding that it was ordered because of.",
    "trips": "The trips that a reset, a step-down or an expiry names.",
    "request_id": "The reset request that a reset approval confirms.",
}
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
FROM control_rows WHERE kind = 'command' AND command <> 'accept_baseline' AND meta IS NOT NULL
"""
_ERASURE_COLUMNS = {
    "erasure_id": "The erasure, as the erase entries of the partition logs name it.",
    "ordered_at": "When it was ordered, UTC, before the first byte was touched.",
    "ordered_by": "Who ordered it.",
    "reason": "Why.",
    "what": "row: all but the commitment; payload: input, output and attributes alone; where_found: the row "
    "where its metadata held what was looked for, else its payload.",
    "automatic": "Whether a retention rule ordered it.",
    "completed_at": "When it was done, UTC; null: it is not, and waits to be resumed.",
    "rows": "How many rows were erased whole.",
    "payloads": "How many payloads were erased alone.",
    "held": "How many were left because of a legal hold.",
    "out_of_reach": "Copies that auditfuse cannot reach, and until when they last.",
    "predicate_sha256": "SHA-256 (hex) of a salt and what was looked for: who knows what was asked and has "
    "the salt, which is not in the store, can show that it was this.",
}
_ERASURES = """
SELECT meta->>'$.erasure' AS erasure_id,
    epoch_ms(min(at_ms) FILTER (phase = 'intent')) AS ordered_at,
    any_value(meta->>'$.by') AS ordered_by,
    any_value(meta->>'$.reason') AS reason,
    any_value(meta->>'$.what') AS what,
    bool_or((meta->>'$.automatic')::BOOLEAN) AS automatic,
    epoch_ms(max(at_ms) FILTER (phase = 'completion')) AS completed_at,
    max((meta->>'$.rows')::BIGINT) AS "rows",
    max((meta->>'$.payloads')::BIGINT) AS payloads,
    max((meta->>'$.held_rows')::BIGINT) AS held,
    any_value(from_json(meta->'$.out_of_reach', '["VARCHAR"]')) FILTER (phase = 'completion') AS out_of_reach,
    any_value(meta->>'$.predicate_sha256') AS predicate_sha256
FROM (SELECT meta, (meta->>'$.at_ms')::BIGINT AS at_ms, meta->>'$.phase' AS phase
      FROM control_rows WHERE kind = 'erasure' AND meta IS NOT NULL)
GROUP BY erasure_id
"""
_SILENCE_COLUMNS = {
    "silence_id": "The silence, as `auditfuse silence` names it.",
    "placed_at": "Since when, UTC.",
    "placed_by": "Who placed it.",
    "reason": "Why.",
    "environment": "A glob: the environments whose pages waited.",
    "agent_id": "A glob: the agents whose pages waited.",
    "detector": "A glob: the detectors whose pages waited.",
    "until": "When it was to end, UTC.",
    "holds_trips": "Whether critical pages about a trip waited too.",
    "ended_at": "When somebody ended it before its time, UTC; null: nobody did.",
    "ended_by": "Who ended it.",
    "end_reason": "Why it was ended.",
}
_SILENCES = """
SELECT meta->>'$.silence_id' AS silence_id,
    epoch_ms(min(at_ms) FILTER (phase = 'placed')) AS placed_at,
    any_value("by") FILTER (phase = 'placed') AS placed_by,
    any_value(meta->>'$.reason') FILTER (phase = 'placed') AS reason,
    any_value(environment) AS environment,
    any_value(agent_id) AS agent_id,
    any_value(detector) AS detector,
    epoch_ms(any_value((meta->>'$.until_ms')::BIGINT) FILTER (phase = 'placed')) AS until,
    bool_or((meta->>'$.holds_trips')::BOOLEAN) AS holds_trips,
    epoch_ms(max(at_ms) FILTER (phase = 'ended')) AS ended_at,
    any_value("by") FILTER (phase = 'ended') AS ended_by,
    any_value(meta->>'$.reason') FILTER (phase = 'ended') AS end_reason
FROM (SELECT *, meta->>'$.phase' AS phase FROM finding_rows WHERE kind = 'silence' AND meta IS NOT NULL)
GROUP BY silence_id
"""
_HOLD_COLUMNS = {
    "hold_id": "The hold, as `auditfuse hold` names it.",
    "placed_at": "Since when, UTC.",
    "placed_by": "Who placed it.",
    "reason": "Why.",
    "scope": "Which rows it keeps, all given parts together; JSON.",
    "lifted_at": "When it was lifted, UTC; null: it holds.",
    "lifted_by": "Who lifted it.",
    "lift_reason": "Why it was lifted.",
}
_HOLDS = """
SELECT meta->>'$.hold' AS hold_id,
    epoch_ms(min(at_ms) FILTER (phase = 'place')) AS placed_at,
    any_value(meta->>'$.by') FILTER (phase = 'place') AS placed_by,
    any_value(meta->>'$.reason') FILTER (phase = 'place') AS reason,
    any_value(meta->'$.scope') FILTER (phase = 'place') AS scope,
    epoch_ms(max(at_ms) FILTER (phase = 'lift')) AS lifted_at,
    any_value(meta->>'$.by') FILTER (phase = 'lift') AS lifted_by,
    any_value(meta->>'$.reason') FILTER (phase = 'lift') AS lift_reason
FROM (SELECT meta, (meta->>'$.at_ms')::BIGINT AS at_ms, meta->>'$.phase' AS phase
      FROM control_rows WHERE kind = 'hold' AND meta IS NOT NULL)
GROUP BY hold_id
"""

"""The next step of a roll-out: 5, 25, then 100% of an agent's traces on the new version."""

import msgspec

from pipeline.detect.canary_report import CanaryReport
from pipeline.readiness.model import DAY_MS, Gate, Question, Subject, gate, listed

QUESTION: Question = "roll-out"
STEPS = (5, 25, 100)
"""Percent of the traces."""
SLACK = 1.2
"""A share may lie so far above a step before it counts as the next: routers are not exact."""
HOUR_MS = 3_600_000


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """Where a roll-out stands and whether it may go on."""

    agent_id: str
    environment: str
    canary: str
    share: float
    """Of the traces of the last day, 0 to 1."""
    step: int
    """The step that it is at, in percent."""
    next_step: int | None
    """None: it is at the last one."""
    may_go_on: bool
    gates: list[Gate]


def assess_rollout(subject: Subject, canary: str, comparison: CanaryReport, hours: float) -> Rollout:
    """The gates of the next step. `comparison`: the canary against the stable version; `hours`: how long a
    step lasts at least."""
    share = _share(subject, canary)
    step = next((step for step in STEPS if share * 100 <= step * SLACK), STEPS[-1])
    following = next((one for one in STEPS if one > step), None)
    since_ms = _since_ms(subject, canary)
    since_us = (since_ms or 0) * 1000
    gates = [
        _not_worse(comparison),
        _long_enough(subject, since_ms, hours),
        _no_incident(subject, since_us),
        _no_trip(subject, canary, since_us),
    ]
    return Rollout(
        agent_id=subject.agent,
        environment=subject.environment,
        canary=canary,
        share=round(share, 4),
        step=step,
        next_step=following,
        may_go_on=following is not None and all(gate.holds for gate in gates),
        gates=gates,
    )


def _share(subject: Subject, canary: str) -> float:
    row = subject.connection.execute(
        "SELECT count(DISTINCT trace_id) FILTER (agent_version = $version) / "
        "nullif(count(DISTINCT trace_id), 0) FROM events WHERE agent_id = $agent AND "
        "environment = $environment AND bound AND end_time >= make_timestamp($since_us)",
        {
            "version": canary,
            "agent": subject.agent,
            "environment": subject.environment,
            "since_us": (subject.now_ms - DAY_MS) * 1000,
        },
    ).fetchone()
    return float(row[0] or 0.0) if row else 0.0


def _not_worse(comparison: CanaryReport) -> Gate:
    measures = len(comparison.compared)
    return gate(
        QUESTION,
        "the canary is not worse",
        comparison.verdict == "not worse",
        f"verdict: {comparison.verdict}, {measures} measures compared",
        "wait for more traces"
        if comparison.verdict == "not yet"
        else "take it back; what is worse: "
        f"auditfuse canary {comparison.agent_id} --canary {comparison.canary}",
    )


def _since_ms(subject: Subject, canary: str) -> int | None:
    """When the canary was first seen; None: not yet."""
    row = subject.connection.execute(
        "SELECT epoch_ms(min(end_time)) FROM events "
        "WHERE agent_id = ? AND environment = ? AND agent_version = ? AND bound",
        [subject.agent, subject.environment, canary],
    ).fetchone()
    return int(row[0]) if row and row[0] is not None else None


def _long_enough(subject: Subject, since_ms: int | None, hours: float) -> Gate:
    ran_h = (subject.now_ms - since_ms) / HOUR_MS if since_ms is not None else 0.0
    return gate(
        QUESTION,
        f"it has run for {hours:g} hours",
        ran_h >= hours,
        f"first seen {ran_h:,.1f} hours ago",
        f"wait {max(hours - ran_h, 0):,.1f} hours more",
    )


def _no_incident(subject: Subject, since_us: int) -> Gate:
    found = subject.connection.execute(
        "SELECT incident_id FROM incidents WHERE agent_id = ? AND environment = ? AND severity <> 'info' "
        "AND coalesce(verdict, 'real') = 'real' AND updated_at >= make_timestamp(?) ORDER BY 1",
        [subject.agent, subject.environment, since_us],
    ).fetchall()
    return gate(
        QUESTION,
        "no incident since it runs",
        not found,
        f"{len(found)} incidents: {listed([row[0] for row in found])}",
        "resolve them with a verdict (auditfuse incidents resolve --verdict) before more traffic goes there",
    )


def _no_trip(subject: Subject, canary: str, since_us: int) -> Gate:
    row = subject.connection.execute(
        "SELECT count(*) FROM killswitch WHERE command = 'trip' AND coalesce(agent_id, $agent) = $agent "
        "AND coalesce(environment, $environment) = $environment "
        "AND coalesce(agent_version, $version) = $version AND ordered_at >= make_timestamp($since_us)",
        {
            "agent": subject.agent,
            "environment": subject.environment,
            "version": canary,
            "since_us": since_us,
        },
    ).fetchone()
    trips = int(row[0]) if row else 0
    return gate(
        QUESTION,
        "no trip since it runs",
        trips == 0,
        f"{trips} trips cover it",
        "find out why; begin the roll-out anew with the next version",
    )

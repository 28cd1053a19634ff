"""Rows of `_findings` for tests of whatever reads them."""

from pipeline.audit.control import AppendRow
from schemas.finding import Finding, FindingRow, IncidentRow

START_MS = 1_767_225_600_000


def finding(agent_id: str = "invoice-agent") -> Finding:
    return Finding(
        detector="write_burst",
        kind="floor",
        environment="production",
        agent_id=agent_id,
        key={},
        window_start_ms=START_MS,
        window_end_ms=START_MS + 60_000,
        time_base="append",
        config_hash="c0ffee",
        severity="critical",
        summary="150 writes in a minute; no agent should make 120",
        facts={"writes": 150, "floor": 120},
        may_trip=True,
        runbook="docs/runbooks/write_burst.md",
    )


def finding_rows(agent_id: str = "invoice-agent") -> list[AppendRow]:
    """A finding, and its incident opened and acknowledged."""
    found = finding(agent_id)
    row = FindingRow(
        id=found.finding_id,
        finding=found,
        incident_id="incident-1",
        late=False,
        found_at_ms=START_MS + 61_000,
        evidence={"traces": ["0" * 32]},
    )
    changes = [
        IncidentRow(
            id=f"change-{i}",
            incident_id="incident-1",
            incident_key=found.incident_key,
            environment="production",
            agent_id=agent_id,
            severity="critical",
            status=status,
            at_ms=START_MS + 62_000 + i,
            by=by,
            reason=reason,
        )
        for i, (status, by, reason) in enumerate(
            [("open", "auditfuse", "first finding"), ("acknowledged", "on-call", "looking")]
        )
    ]
    return [AppendRow.of(row), *map(AppendRow.of, changes)]

"""The incident: findings grouped for a person."""

from typing import Literal

import msgspec

from schemas.finding import Severity, Verdict

IncidentStatus = Literal["open", "acknowledged", "resolved"]


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong, whatever the number of findings that say so."""

    incident_id: str
    incident_key: str
    detector: str
    environment: str
    agent_id: str
    severity: Severity
    status: IncidentStatus
    opened_at_ms: int
    updated_at_ms: int
    findings: int
    summary: str
    verdict: Verdict | None = None
    """What was said of it when it was resolved."""

"""How findings make and change incidents. Pure: an incident and what happened in, the change out."""

from typing import Literal

import msgspec

from pipeline.respond.config import RespondConfig
from schemas.finding import Finding, IncidentRow, Severity, Verdict
from schemas.incident import Incident, IncidentStatus

ChangeKind = Literal["opened", "reopened", "raised", "counted", "acknowledged", "resolved"]
PAGED: tuple[ChangeKind, ...] = ("opened", "reopened", "raised")
"""The changes that a person is paged for."""
SEVERITY_RANK: dict[Severity, int] = {"info": 0, "warning": 1, "critical": 2}
BY_RECOVERY = "auditfuse"
MAX_DOUBLINGS = 3


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """An incident, and what its next change depends on."""

    incident: Incident
    number: int
    """1 for the first incident of its key, 2 for the next, …"""
    changes: int
    """How many rows of `_findings` tell of it; makes their ids."""
    resolved_at_ms: int | None
    last_window_end_ms: int
    """End of the latest window with a finding: recovery is counted from here, in the detectors' time."""
    lead_finding_id: str
    """The finding that opened it, or that raised its severity last: the one that its page shows."""
    reopenings: int = 0
    """How often it came back: each time it must stay away for longer before it counts as over."""


ENDED_BY_WITHDRAWAL = frozenset({"silence"})
"""Detectors that say themselves when it is over: that nothing more is found is what they complain of."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What one finding or one person did to an incident."""

    kind: ChangeKind
    episode: Episode
    row: IncidentRow | None
    """The change as a row of `_findings`; None where only the count went up."""


def hold_down_ms(episode: Episode, quiet_s: float) -> int:
    """How long it must be quiet to be over: doubled by each reopening, up to eight times as long."""
    return int(quiet_s * 1000 * 2 ** min(episode.reopenings, MAX_DOUBLINGS))


def fold(
    current: Episode | None, finding: Finding, now_ms: int, config: RespondConfig, last_number: int = 0
) -> Change:
    """The incident after `finding`. `current` is the latest episode of the finding's incident key; where it
    is not kept any more, `last_number` is its number."""
    if current is None:
        return _open(finding, last_number + 1, now_ms)
    if current.resolved_at_ms is not None:
        if now_ms - current.resolved_at_ms > config.reopen_within_s * 1000:
            return _open(finding, current.number + 1, now_ms)
        return _again(current, finding, now_ms, "reopened")
    raised = SEVERITY_RANK[finding.severity] > SEVERITY_RANK[current.incident.severity]
    return _again(current, finding, now_ms, "raised" if raised else "counted")


def acknowledge(current: Episode, by: str, reason: str, now_ms: int) -> Change | None:
    """A person has taken it on. None where there is nothing to change."""
    if current.incident.status != "open":
        return None
    return _set_status(current, "acknowledged", by, reason, now_ms)


def resolve(
    current: Episode, by: str, reason: str, now_ms: int, verdict: Verdict | None = None
) -> Change | None:
    """It is over; `verdict` says whether it was real, also of one that is over. None: nothing to change."""
    if current.incident.status == "resolved" and verdict in (None, current.incident.verdict):
        return None
    kept = verdict or current.incident.verdict
    incident = msgspec.structs.replace(current.incident, verdict=kept)
    return _set_status(msgspec.structs.replace(current, incident=incident), "resolved", by, reason, now_ms)


def _open(finding: Finding, number: int, now_ms: int) -> Change:
    incident = Incident(
        incident_id=f"{finding.incident_key}-{number}",
        incident_key=finding.incident_key,
        detector=finding.detector,
        environment=finding.environment,
        agent_id=finding.agent_id,
        severity=finding.severity,
        status="open",
        opened_at_ms=now_ms,
        updated_at_ms=now_ms,
        findings=1,
        summary=finding.summary,
    )
    episode = Episode(
        incident=incident,
        number=number,
        changes=0,
        resolved_at_ms=None,
        last_window_end_ms=finding.window_end_ms,
        lead_finding_id=finding.finding_id,
    )
    return _told(episode, "opened", BY_RECOVERY, finding.summary)


def _again(current: Episode, finding: Finding, now_ms: int, kind: ChangeKind) -> Change:
    incident = msgspec.structs.replace(
        current.incident, updated_at_ms=now_ms, findings=current.incident.findings + 1
    )
    episode = msgspec.structs.replace(
        current,
        incident=incident,
        last_window_end_ms=max(current.last_window_end_ms, finding.window_end_ms),
    )
    if kind == "counted":
        return Change(kind=kind, episode=episode, row=None)
    status: IncidentStatus = "open" if kind == "reopened" else incident.status
    severity = max(incident.severity, finding.severity, key=SEVERITY_RANK.__getitem__)
    incident = msgspec.structs.replace(
        incident,
        severity=severity,
        status=status,
        summary=finding.summary,
        verdict=None if kind == "reopened" else incident.verdict,
    )
    episode = msgspec.structs.replace(
        episode,
        incident=incident,
        resolved_at_ms=None,
        lead_finding_id=finding.finding_id,
        reopenings=episode.reopenings + (kind == "reopened"),
    )
    return _told(episode, kind, BY_RECOVERY, finding.summary)


def _set_status(
    current: Episode, status: Literal["acknowledged", "resolved"], by: str, reason: str, now_ms: int
) -> Change:
    incident = msgspec.structs.replace(current.incident, status=status, updated_at_ms=now_ms)
    ended_at_ms = now_ms if status == "resolved" else None
    episode = msgspec.structs.replace(current, incident=incident, resolved_at_ms=ended_at_ms)
    return _told(episode, status, by, reason)


def _told(episode: Episode, kind: ChangeKind, by: str, reason: str) -> Change:
    """Give the change its number and its row."""
    episode = msgspec.structs.replace(episode, changes=episode.changes + 1)
    incident = episode.incident
    row = IncidentRow(
        id=f"{incident.incident_id}/{episode.changes}",
        incident_id=incident.incident_id,
        incident_key=incident.incident_key,
        environment=incident.environment,
        agent_id=incident.agent_id,
        severity=incident.severity,
        status=incident.status,
        at_ms=incident.updated_at_ms,
        by=by,
        reason=f"{kind}: {reason}" if reason else kind,
        verdict=incident.verdict,
    )
    return Change(kind=kind, episode=episode, row=row)

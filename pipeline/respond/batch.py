"""What the findings of one transaction do: to incidents, to the record, and to who must be told. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import msgspec

from pipeline.respond import incidents as grouping
from pipeline.respond.config import RespondConfig
from pipeline.respond.incidents import PAGED, SEVERITY_RANK, Change, Episode
from schemas.finding import Finding, FindingRow, RowOfFindings

NO_INCIDENT = ""
"""Where a finding in shadow stands."""


class FoundFinding(Protocol):
    """A finding as the detect stage hands it over."""

    @property
    def finding(self) -> Finding: ...
    @property
    def late(self) -> bool: ...
    @property
    def evidence(self) -> Mapping[str, object]: ...
    @property
    def withdrawn(self) -> str | None: ...


class Batch:
    """The changes of one transaction, in the order of the findings."""

    def __init__(
        self, stored: Mapping[str, Episode], trips: Mapping[str, str], now_ms: int, config: RespondConfig
    ) -> None:
        self.latest = dict(stored)
        self.changed: dict[str, Episode] = {}
        self.leads: dict[str, FindingRow] = {}
        self.trips: dict[str, str] = {}
        self.paged: dict[str, Change] = {}
        self.findings: list[FindingRow] = []
        self.appends: list[RowOfFindings] = []
        self._trips_by_finding = trips
        self._now_ms = now_ms
        self._config = config

    def fold(self, item: FoundFinding, incident_key: str) -> None:
        """Take in a finding that belongs to the incident of that key."""
        finding, finding_id = item.finding, item.finding.finding_id
        if finding.shadow:
            self._keep(finding_id, item, NO_INCIDENT)
            return
        change = grouping.fold(self.latest.get(incident_key), finding, self._now_ms, self._config)
        incident_id = change.episode.incident.incident_id
        row = self._keep(finding_id, item, incident_id)
        self.latest[incident_key] = change.episode
        self.changed[incident_id] = change.episode
        if change.row is not None:
            self.appends.append(change.row)
        if change.kind in PAGED:
            self.leads[incident_id] = row
            # Opened and raised in one batch is one page: opened, at the higher severity.
            first = self.paged.get(incident_id)
            self.paged[incident_id] = msgspec.structs.replace(change, kind=first.kind) if first else change
        done = self._trips_by_finding.get(finding_id)
        if done is not None and not (was_tripped(self.trips.get(incident_id)) and not was_tripped(done)):
            self.trips[incident_id] = done

    def _keep(self, finding_id: str, item: FoundFinding, incident_id: str) -> FindingRow:
        row = FindingRow(
            id=finding_id,
            finding=item.finding,
            incident_id=incident_id,
            late=item.late,
            found_at_ms=self._now_ms,
            evidence=dict(item.evidence),
        )
        self.findings.append(row)
        self.appends.append(row)
        return row

    def messages(self) -> Iterator[dict[str, Any]]:
        wait_until_ms = self._now_ms + int(self._config.append_wait_s * 1000)
        for incident_id, change in self.paged.items():
            incident = change.episode.incident
            for target in self._config.targets_for(incident.severity, incident.environment):
                yield new_message(
                    page_id=f"{incident_id}/{change.episode.changes}",
                    target=target,
                    change=change.kind,
                    incident_id=incident_id,
                    severity_rank=SEVERITY_RANK[incident.severity],
                    now_ms=self._now_ms,
                    awaits_row=self.leads[incident_id].id,
                    awaits_until_ms=wait_until_ms,
                )


def was_tripped(done: str | None) -> bool:
    """Whether what was done about a finding was a trip."""
    return done is not None and done.startswith("tripped")


def new_message(
    *,
    page_id: str,
    target: str,
    change: str,
    incident_id: str | None,
    severity_rank: int,
    now_ms: int,
    awaits_row: str | None = None,
    awaits_until_ms: int = 0,
    body: bytes | None = None,
) -> dict[str, Any]:
    """A row of `pages` that nothing was done about yet."""
    return {
        "page_id": page_id,
        "target": target,
        "change": change,
        "incident_id": incident_id,
        "severity_rank": severity_rank,
        "awaits_row": awaits_row,
        "awaits_until_ms": awaits_until_ms,
        "body": body,
        "state": "pending",
        "attempts": 0,
        "next_attempt_at_ms": now_ms,
        "created_at_ms": now_ms,
    }

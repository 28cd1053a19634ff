"""What the findings of one transaction do: to incidents, to the record, and to who must be told. Pure."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from pipeline.respond import incidents as grouping
from pipeline.respond.config import RespondConfig, first_attention_ms
from pipeline.respond.incidents import PAGED, Change, Episode
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
        self,
        stored: Mapping[str, Episode],
        trips: Mapping[str, str],
        now_ms: int,
        config: RespondConfig,
        numbers: Mapping[str, int] | None = None,
    ) -> None:
        """`stored`: the latest episode by incident key; `numbers`: the last number of keys whose episodes are
        not kept any more."""
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
        self._numbers = numbers or {}

    def fold(self, item: FoundFinding, incident_key: str) -> None:
        """Take in a finding that belongs to the incident of that key."""
        finding, finding_id = item.finding, item.finding.finding_id
        if finding.shadow:
            self._keep(finding_id, item, NO_INCIDENT)
            return
        change = self._folded(incident_key, finding)
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
        self._note_trip(incident_id, finding_id)

    def open_common(self, finding: Finding) -> str:
        """Open the incident that stands for many; its finding is none of a detector's, so it is not recorded
        as one. Returns the incident's id."""
        change = self._folded(finding.incident_key, finding)
        incident_id = change.episode.incident.incident_id
        self.latest[finding.incident_key] = change.episode
        self.changed[incident_id] = change.episode
        if change.row is not None:
            self.appends.append(change.row)
        self.leads[incident_id] = FindingRow(
            id=finding.finding_id,
            finding=finding,
            incident_id=incident_id,
            late=False,
            found_at_ms=self._now_ms,
            evidence={},
        )
        if change.kind in PAGED:
            self.paged[incident_id] = change
        return incident_id

    def _folded(self, incident_key: str, finding: Finding) -> Change:
        last = self._numbers.get(incident_key, 0)
        return grouping.fold(self.latest.get(incident_key), finding, self._now_ms, self._config, last)

    def opened_by(self, incident_key: str) -> str | None:
        """The incident that this batch opened, or reopened, of that key."""
        episode = self.latest.get(incident_key)
        change = self.paged.get(episode.incident.incident_id) if episode else None
        if episode is None or change is None or change.kind == "raised":
            return None
        return episode.incident.incident_id

    def unanswered(self) -> dict[str, Any]:
        """What is stored of an incident that somebody has to answer from now on."""
        return {
            "unanswered_since_ms": self._now_ms,
            "reminders": 0,
            "escalations": 0,
            "attend_at_ms": first_attention_ms(self._config, self._now_ms),
        }

    def _note_trip(self, incident_id: str, finding_id: str) -> None:
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
        "held_by": None,
        "together": None,
        "attempts": 0,
        "next_attempt_at_ms": now_ms,
        "created_at_ms": now_ms,
    }

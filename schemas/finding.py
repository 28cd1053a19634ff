"""The finding: what a detector concluded about one key in one window."""

import hashlib
from typing import Literal, TypeAlias

import msgspec

Severity = Literal["info", "warning", "critical"]
FindingKind = Literal["statistical", "floor", "rule"]
TimeBase = Literal["event", "append"]
Verdict = Literal["real", "false", "expected"]
"""real: something was wrong. false: nothing was. expected: it was as it said, and meant to be."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A conclusion whose bytes depend on the events alone, never on when or in what order they arrived.

    `facts` holds numbers and names that explain it (threshold, baseline, e-value as log10), all of
    them functions of the window's events or of the configuration.
    """

    detector: str
    kind: FindingKind
    environment: str
    agent_id: str
    key: dict[str, str]
    """What the detector adds to (environment, agent)."""
    window_start_ms: int
    window_end_ms: int
    time_base: TimeBase
    config_hash: str
    severity: Severity
    summary: str
    """One line in plain words, with the numbers and what is normal."""
    facts: dict[str, float | int | str]
    may_trip: bool
    """False for what is late, not bound, sender-stamped or not certain enough to trip anything."""
    runbook: str
    shadow: bool = False
    """Found by a detector that is being tried out: stored, and nothing else."""

    @property
    def finding_id(self) -> str:
        """`fnd_` and 24 hex digits over (detector, key, window, configuration hash)."""
        window = (self.window_start_ms, self.window_end_ms)
        return "fnd_" + _digest([*self._incident_fields(), window, self.config_hash])

    @property
    def incident_key(self) -> str:
        """The dedup key: without window and configuration, so that tuning does not page again."""
        return "inc_" + _digest(self._incident_fields())

    def _incident_fields(self) -> list[object]:
        return [self.detector, self.environment, self.agent_id, sorted(self.key.items())]


class FindingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A finding as a row of the `_findings` partition: the finding, and how it was delivered."""

    kind: Literal["finding"] = "finding"
    id: str
    finding: Finding
    incident_id: str
    """Empty for one found in shadow."""
    late: bool
    found_at_ms: int
    evidence: dict[str, object]
    """Sample traces, sessions and row identities, the SQL to look further, the switch state."""


class WithdrawalRow(msgspec.Struct, frozen=True, kw_only=True):
    """That a finding no longer holds, as a row of the `_findings` partition: the approval came late, say."""

    kind: Literal["withdrawal"] = "withdrawal"
    id: str
    finding_id: str
    incident_id: str
    environment: str
    agent_id: str
    at_ms: int
    reason: str


class IncidentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A change of an incident as a row of the `_findings` partition."""

    kind: Literal["incident"] = "incident"
    id: str
    incident_id: str
    incident_key: str
    environment: str
    agent_id: str
    severity: Severity
    status: Literal["open", "acknowledged", "resolved"]
    at_ms: int
    by: str
    reason: str
    verdict: Verdict | None = None
    """Whether it was real, as the person says who resolved it."""


class SilenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody silenced pages, or ended a silence, as a row of the `_findings` partition."""

    kind: Literal["silence"] = "silence"
    id: str
    silence_id: str
    phase: Literal["placed", "ended"]
    environment: str
    """A glob, as `agent_id` and `detector`: the incidents whose pages wait."""
    agent_id: str
    detector: str
    at_ms: int
    until_ms: int
    holds_trips: bool
    """Whether it also holds critical pages about a trip."""
    by: str
    reason: str


RowOfFindings: TypeAlias = FindingRow | WithdrawalRow | IncidentRow | SilenceRow


def _digest(fields: list[object]) -> str:
    return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()[:24]

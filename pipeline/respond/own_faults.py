"""Faults of auditfuse itself, as incidents: whoever relies on its watching must know when it does not."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import structlog
from sqlalchemy import Connection, select

from pipeline.clock import NowMs
from pipeline.respond import incidents as grouping
from pipeline.respond import tables
from pipeline.respond.config import RespondConfig
from pipeline.respond.incidents import Episode, hold_down_ms
from pipeline.respond.recovery import OWN_FAULT
from pipeline.respond.state import StateDatabase
from pipeline.respond.store_change import store_change
from schemas.finding import Finding, Severity

OWN_NAME = "auditfuse"
"""The agent and the environment of such incidents."""
RUNBOOK = "docs/runbooks/own_faults.md"
ROUND_S = 5.0
WELL_FOR_S = 60.0
"""A fault that is gone for so long is over; longer where it came back."""
_log = structlog.get_logger("auditfuse.respond")


class OwnFault(NamedTuple):
    """Something of auditfuse that does not work now."""

    detector: str
    """`self_` and what kind of fault it is."""
    part: str
    """Which part, where there are several: a partition, a source. Never content."""
    summary: str
    severity: Severity = "critical"


Probe = Callable[[], Sequence[OwnFault]]
"""The faults of this moment. Raises nothing that its caller has not asked for."""


class _Found(NamedTuple):
    """As the detect stage hands a finding over."""

    finding: Finding
    late: bool = False
    evidence: Mapping[str, object] = {}
    withdrawn: str | None = None


class OwnFaults:
    """Looks at the parts, round by round; what has failed for long enough becomes an incident."""

    def __init__(
        self,
        state: StateDatabase,
        config: RespondConfig,
        probe: Probe,
        on_change: Callable[[], None],
        now_ms: NowMs,
    ) -> None:
        self._state = state
        self._config = config
        self._probe = probe
        self._on_change = on_change
        self._now_ms = now_ms
        self._since_ms: dict[tuple[str, str], int] = {}
        self._told: set[str] = set()
        self._well_since_ms: dict[str, int] = {}
        self.checked_at_ms: int | None = None
        """When the last round was done; None before the first."""
        self.standing: tuple[OwnFault, ...] = ()
        """Faults that have lasted for long enough to be told."""

    def step(self) -> float:
        """One round; returns the seconds until the next. Raises StateUnavailable; the next one repeats it."""
        now_ms = self._now_ms()
        faults = {(fault.detector, fault.part): fault for fault in self._probe()}
        known = {one.incident.incident_key: one for one in self._state.read(_own_incidents)}
        self._since_ms = {key: self._since_ms.get(key, now_ms) for key in faults}
        for key, fault in faults.items():
            finding = _finding(fault, self._since_ms[key])
            if finding.finding_id in self._told and finding.incident_key not in known:
                self._since_ms[key] = now_ms  # somebody resolved it, and it goes on: a fault anew
        lasting = [key for key, since in self._since_ms.items() if now_ms - since >= self._limit_ms]
        self.standing = tuple(faults[key] for key in lasting)
        findings = [_finding(faults[key], self._since_ms[key]) for key in lasting]
        self._tell([one for one in findings if one.finding_id not in self._told], now_ms)
        failing = {_finding(fault, 0).incident_key for fault in faults.values()}
        self._resolve_others({key: one for key, one in known.items() if key not in failing}, now_ms)
        self._told &= {one.finding_id for one in findings}
        self.checked_at_ms = now_ms
        return ROUND_S

    @property
    def _limit_ms(self) -> int:
        return int(self._config.own_fault_after_s * 1000)

    def _tell(self, fresh: Sequence[Finding], now_ms: int) -> None:
        if not fresh:
            return
        for finding in fresh:
            _log.error("own_fault", detector=finding.detector, summary=finding.summary)
        self._state.consume([_Found(finding) for finding in fresh], {}, now_ms)
        self._told |= {finding.finding_id for finding in fresh}
        self._on_change()

    def _resolve_others(self, over: Mapping[str, Episode], now_ms: int) -> None:
        """Resolve the incidents whose fault is gone, also those of a process before this one."""
        self._well_since_ms = {key: self._well_since_ms.get(key, now_ms) for key in over}
        well = [
            episode
            for key, episode in over.items()
            if now_ms - self._well_since_ms[key] >= hold_down_ms(episode, WELL_FOR_S)
        ]
        if well:
            self._state.write(lambda connection: self._resolve(connection, well, now_ms))
            self._on_change()

    def _resolve(self, connection: Connection, well: Sequence[Episode], now_ms: int) -> None:
        for episode in well:
            change = grouping.resolve(episode, grouping.BY_RECOVERY, "it works again", now_ms)
            if change is not None:
                store_change(connection, change, self._config, grouping.BY_RECOVERY, "it works again")


def is_own(detector: str) -> bool:
    """Whether that detector tells of faults of auditfuse itself: no sealed row leads to its findings."""
    return detector.startswith(OWN_FAULT)


def _finding(fault: OwnFault, since_ms: int) -> Finding:
    return Finding(
        detector=fault.detector,
        kind="rule",
        environment=OWN_NAME,
        agent_id=OWN_NAME,
        key={"part": fault.part} if fault.part else {},
        window_start_ms=since_ms,
        window_end_ms=since_ms,
        time_base="append",
        config_hash="",
        severity=fault.severity,
        summary=fault.summary,
        facts={},
        may_trip=False,
        runbook=RUNBOOK,
    )


def _own_incidents(connection: Connection) -> list[Episode]:
    table = tables.incidents
    own = (table.c.status != "resolved") & (table.c.agent_id == OWN_NAME)
    query = select(table.c.episode).where(own & table.c.detector.startswith(OWN_FAULT, autoescape=True))
    return [msgspec.json.decode(row.episode, type=Episode) for row in connection.execute(query)]

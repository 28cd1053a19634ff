"""Shared causes: what many agents have in common fails; that each of them shows it is no incident of its own.

Known causes are incidents that explain others: a dependency that fails for many, a source that is down.
Agents that fall silent together have a cause that nobody has named: one incident stands for all of them.
Takes part in a transaction that the caller began.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, select, update

from pipeline.respond import incidents as grouping
from pipeline.respond import tables
from pipeline.respond.batch import FoundFinding
from pipeline.respond.config import RespondConfig
from pipeline.respond.incidents import Episode
from pipeline.respond.store_change import store_change
from pipeline.respond.updates import drop_pages
from schemas.finding import Finding, FindingRow

DEPENDENCY = "shared_dependency"
SILENCE = "silence"
EVERY_AGENT = "*"
EXPLAINED: Mapping[str, frozenset[str]] = {
    DEPENDENCY: frozenset({"error_spike", "latency"}),
    SILENCE: frozenset({SILENCE}),
    "self_source_down": frozenset({SILENCE}),
    "self_halted": frozenset({SILENCE}),
    "self_lagging": frozenset({SILENCE}),
}
"""By the detector of a cause: detectors whose findings it explains. A cause excuses no write, no refusal and
no missing approval."""
_NAMED = 5
"""Agents that a summary names."""
_EXPLAINABLE = frozenset[str]().union(*EXPLAINED.values())


class Cause(NamedTuple):
    """An incident that explains others."""

    incident_key: str
    detectors: frozenset[str]
    environment: str | None
    """None: every one."""
    agents: frozenset[str] | None
    """None: every one."""

    def covers(self, detector: str, environment: str, agent_id: str) -> bool:
        """Whether that is this cause, seen at one agent."""
        return (
            detector in self.detectors
            and environment == (self.environment or environment)
            and agent_id != EVERY_AGENT
            and (self.agents is None or agent_id in self.agents)
        )

    def explains(self, finding: Finding) -> bool:
        """Whether a finding is this cause, seen at one agent."""
        return self.covers(finding.detector, finding.environment, finding.agent_id)


def causes_first(found: Iterable[FoundFinding]) -> list[FoundFinding]:
    """What explains comes before what it explains; otherwise the order stays."""
    return sorted(found, key=lambda item: not _is_cause(item.finding))


def known_causes(connection: Connection, found: Collection[FoundFinding]) -> list[Cause]:
    """Those whose incidents are open, and those among `found`."""
    new = [item for item in found if _is_cause(item.finding) and not item.finding.shadow]
    causes = [_cause(item.finding, item.evidence) for item in new]
    if not any(item.finding.detector in _EXPLAINABLE for item in found):
        return causes
    table = tables.incidents
    standing = (table.c.status != "resolved") & table.c.detector.in_(EXPLAINED)
    alone = (table.c.detector == SILENCE) & (table.c.agent_id != EVERY_AGENT)
    for row in connection.execute(select(table.c.lead).where(standing & ~alone)):
        lead = msgspec.json.decode(row.lead, type=FindingRow)
        causes.append(_cause(lead.finding, lead.evidence))
    return causes


def common_silence(
    connection: Connection,
    found: Collection[FoundFinding],
    causes: Collection[Cause],
    now_ms: int,
    config: RespondConfig,
) -> list[Finding]:
    """One finding for each environment in which enough agents have fallen silent together just now.

    It is made here of findings of the detector: it opens an incident, and is no finding of its own.
    """
    fresh: dict[str, list[Finding]] = defaultdict(list)
    for item in found:
        finding = item.finding
        is_one = finding.detector == SILENCE and finding.agent_id != EVERY_AGENT and not finding.shadow
        if is_one and not any(cause.explains(finding) for cause in causes):
            fresh[finding.environment].append(finding)
    made: list[Finding] = []
    for environment, findings in sorted(fresh.items()):
        agents = {finding.agent_id for finding in findings}
        agents |= _silent_agents(connection, environment, now_ms, config)
        if len(agents) >= config.shared_cause_agents:
            made.append(_of_many(findings, sorted(agents)))
    return made


def absorb(
    connection: Connection, causes: Iterable[tuple[Cause, str]], now_ms: int, config: RespondConfig
) -> None:
    """Close the incidents that a new cause explains and that were opened shortly before it. Their findings
    are the cause's from now on."""
    table = tables.incidents
    since_ms = now_ms - int(config.shared_cause_within_s * 1000)
    for cause, incident_id in causes:
        query = select(table.c.incident_id, table.c.episode).where(
            (table.c.status != "resolved")
            & table.c.detector.in_(cause.detectors)
            & (table.c.opened_at_ms >= since_ms)
            & (table.c.incident_id != incident_id)
        )
        if cause.environment is not None:
            query = query.where(table.c.environment == cause.environment)
        for row in connection.execute(query.with_for_update()).all():
            episode = msgspec.json.decode(row.episode, type=Episode)
            incident = episode.incident
            if cause.covers(incident.detector, incident.environment, incident.agent_id):
                _absorb_one(connection, episode, incident_id, now_ms, config)


def _absorb_one(
    connection: Connection, episode: Episode, incident_id: str, now_ms: int, config: RespondConfig
) -> None:
    reason = f"it is part of incident {incident_id}"
    change = grouping.resolve(episode, grouping.BY_RECOVERY, reason, now_ms)
    if change is None:
        return
    of_it = tables.findings.c.incident_id == episode.incident.incident_id
    connection.execute(update(tables.findings).where(of_it).values(incident_id=incident_id))
    drop_pages(connection, episode.incident.incident_id)
    store_change(connection, change, config, grouping.BY_RECOVERY, reason)


def _silent_agents(connection: Connection, environment: str, now_ms: int, config: RespondConfig) -> set[str]:
    table = tables.incidents
    lately = table.c.opened_at_ms >= now_ms - int(config.shared_cause_within_s * 1000)
    here = (table.c.detector == SILENCE) & (table.c.environment == environment)
    query = select(table.c.agent_id).where(here & lately & (table.c.status != "resolved"))
    return set(connection.scalars(query))


def _of_many(findings: list[Finding], agents: list[str]) -> Finding:
    first = min(finding.window_start_ms for finding in findings)
    last = max(finding.window_end_ms for finding in findings)
    more = f" and {len(agents) - _NAMED:,} more" if len(agents) > _NAMED else ""
    return msgspec.structs.replace(
        findings[0],
        agent_id=EVERY_AGENT,
        key={},
        window_start_ms=first,
        window_end_ms=last,
        summary=f"{len(agents):,} agents fell silent together: {', '.join(agents[:_NAMED])}{more}",
        facts={"silent_agents": len(agents)},
        may_trip=False,
    )


def _is_cause(finding: Finding) -> bool:
    if finding.detector == SILENCE:
        return finding.agent_id == EVERY_AGENT
    return finding.detector in EXPLAINED


def _cause(finding: Finding, evidence: Mapping[str, Any]) -> Cause:
    detectors = EXPLAINED[finding.detector]
    if finding.detector == DEPENDENCY:
        agents = frozenset(map(str, evidence.get("agents", ())))
        return Cause(finding.incident_key, detectors, finding.environment, agents)
    environment = finding.environment if finding.detector == SILENCE else None
    return Cause(finding.incident_key, detectors, environment, None)


def cause_of(finding: Finding) -> Cause:
    """The cause that a finding of `common_silence` is."""
    return _cause(finding, {})

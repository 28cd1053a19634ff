"""Outages: what many agents share fails, and that each of them fails is no incident of its own."""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, select

from pipeline.respond import tables
from pipeline.respond.batch import FoundFinding
from pipeline.respond.incidents import Episode
from schemas.finding import Finding, FindingRow

OUTAGE = "shared_dependency"
EXPLAINED = frozenset({"error_spike"})
"""Detectors whose findings an outage explains. It excuses no write, no refusal and no missing approval."""


class Outage(NamedTuple):
    """An open incident of a shared dependency."""

    incident_key: str
    environment: str
    agents: frozenset[str]

    def explains(self, finding: Finding) -> bool:
        """Whether that finding is this outage, seen at one of its agents."""
        concerned = finding.environment == self.environment and finding.agent_id in self.agents
        return concerned and finding.detector in EXPLAINED


def outages_first(found: Iterable[FoundFinding]) -> list[FoundFinding]:
    """What explains comes before what it explains; otherwise the order stays."""
    return sorted(found, key=lambda item: item.finding.detector != OUTAGE)


def known_outages(connection: Connection, found: Collection[FoundFinding]) -> list[Outage]:
    """Those that are open, and those among `found`; none where nothing could be explained by them."""
    if not any(item.finding.detector in EXPLAINED for item in found):
        return []
    table = tables.incidents
    query = select(table.c.episode, table.c.lead).where(table.c.status != "resolved")
    open_: list[Outage] = []
    for row in connection.execute(query):
        incident = msgspec.json.decode(row.episode, type=Episode).incident
        if incident.detector == OUTAGE:
            lead = msgspec.json.decode(row.lead, type=FindingRow)
            open_.append(_outage(incident.incident_key, incident.environment, lead.evidence))
    new = [item for item in found if item.finding.detector == OUTAGE and not item.finding.shadow]
    return open_ + [
        _outage(item.finding.incident_key, item.finding.environment, item.evidence) for item in new
    ]


def _outage(incident_key: str, environment: str, evidence: Any) -> Outage:
    return Outage(incident_key, environment, frozenset(evidence.get("agents", ())))

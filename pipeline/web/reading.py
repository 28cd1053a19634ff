"""What the incident page shows, read from where it is kept: state database, audit store, kill switch.
Blocking."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, select

from pipeline.killswitch.status import RequestStatus, Status, TripStatus
from pipeline.killswitch.switch import KillSwitch
from pipeline.respond import tables
from pipeline.respond.insight import Insight
from pipeline.respond.state import IncidentDetail, StateDatabase
from schemas.finding import FindingRow, IncidentRow
from schemas.incident import Incident

INSIGHT_WAIT_S = 2.0
LISTED = 200

AskInsight = Callable[[FindingRow, float], Insight | None]
"""A lead finding and the seconds to wait → what the store says; None where that is not known in time."""


class Shown(NamedTuple):
    """All that one page shows."""

    detail: IncidentDetail
    insight: Insight | None
    unsealed: list[IncidentRow]
    """Changes of the incident whose record is not sealed yet."""
    trips: list[TripStatus]
    """The trips in force that cover its agent."""
    requests: list[RequestStatus]
    """The resets of those that wait for a second person."""
    status: Status


class Reading:
    """Reads; changes nothing."""

    def __init__(self, state: StateDatabase, switch: KillSwitch, insight: AskInsight) -> None:
        self._state = state
        self._switch = switch
        self._insight = insight

    def shown(self, incident_id: str) -> Shown:
        """Everything about one incident. Raises StoreError for an unknown one, StateUnavailable."""
        detail = self._state.incident(incident_id)
        unsealed = self._state.read(lambda connection: _unsealed(connection, incident_id))
        insight = self._insight(detail.lead, INSIGHT_WAIT_S)
        status = self._switch.status()
        trips = self.trips(status, detail.incident)
        return Shown(detail, insight, unsealed, trips, requests_of(status, trips), status)

    def listed(self) -> list[Incident]:
        """Incidents, those that are not over first, then the latest. Raises StateUnavailable."""
        incidents = self._state.incidents(include_resolved=True, limit=LISTED)
        return sorted(incidents, key=lambda incident: incident.status == "resolved")

    def trips(self, status: Status, incident: Incident) -> list[TripStatus]:
        """The trips in force that cover the incident's agent."""
        return [trip for trip in status.trips if self._covers(trip, incident)]

    def _covers(self, trip: TripStatus, incident: Incident) -> bool:
        # The agent's name may be stored redacted, while a person tripped it by the name that it calls itself.
        selector, agent = trip.selector, incident.agent_id
        if (
            selector.environment is not None
            and selector.environment.casefold() != incident.environment.casefold()
        ):
            return False
        if selector.agent is None or selector.agent.casefold() == agent.casefold():
            return True
        return "<" in agent and self._switch.is_stored_as(agent, selector.agent)


def requests_of(status: Status, trips: Sequence[TripStatus]) -> list[RequestStatus]:
    """The open reset requests of these trips."""
    ids = {trip.id for trip in trips}
    return [request for request in status.requests if ids.intersection(request.trips)]


def _unsealed(connection: Connection, incident_id: str) -> list[IncidentRow]:
    table = tables.appends
    # Ids of such rows begin with the incident's; text that was made for a pattern is never in one.
    mine = (table.c.kind == "incident") & table.c.row_id.startswith(f"{incident_id}/", autoescape=True)
    rows = connection.scalars(select(table.c.body).where(mine).order_by(table.c.seq))
    return [msgspec.json.decode(row, type=IncidentRow) for row in rows]

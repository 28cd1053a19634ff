"""The state database: consumed ends, findings, incidents and the outbox change in one transaction.

Every public method is one transaction, tried again while the database is locked or away.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, func, insert, inspect, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from pipeline.errors import AuditfuseError, StoreError
from pipeline.respond import consume, recovery, tables
from pipeline.respond import incidents as grouping
from pipeline.respond.batch import FoundFinding
from pipeline.respond.config import RespondConfig, StateConfig
from pipeline.respond.consume import Consumed, ConsumedElsewhere, Ends
from pipeline.respond.incidents import Change, Episode
from pipeline.respond.store_change import store_change
from schemas.finding import FindingRow, Verdict
from schemas.incident import Incident

__all__ = ["Consumed", "ConsumedElsewhere", "StateConfig", "StateDatabase", "StateUnavailable"]

_T = TypeVar("_T")


class StateUnavailable(AuditfuseError):
    """The state database is locked or away. Nothing was changed; try again."""


class IncidentDetail(msgspec.Struct, frozen=True, kw_only=True):
    """An incident with what a person looks at."""

    incident: Incident
    lead: FindingRow
    trip: str | None
    pages: list[dict[str, Any]]
    """One a page and target: page_id, target, state, attempts, last_error, next_attempt_at_ms, …"""


class StateDatabase:
    """Reads and changes the state. Safe to share between threads; blocking, so keep it off the loop."""

    def __init__(self, config: StateConfig, respond: RespondConfig | None = None) -> None:
        self._config = config
        self._respond = respond or RespondConfig()
        self._engine = tables.open_engine(config)

    def create_schema(self) -> None:
        """Make the tables where there are none. Raises StoreError for a schema of another version."""
        # Read first: where the tables are there, no lock is needed, and a locked database stops no start.
        version = self.read(_stored_version)
        if version is None:
            version = self.write(_create)
        if version != tables.SCHEMA_VERSION:
            raise StoreError(
                f"the state database has schema {version}, this auditfuse needs {tables.SCHEMA_VERSION}; "
                "run the version that wrote it"
            )

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    def sealed_ends(self) -> dict[tuple[str, int], int]:
        """For each (topic id, partition): the sealed end up to which findings were drawn."""
        table = tables.consumed
        rows = self.read(lambda connection: connection.execute(select(table)).all())
        return {(row.topic_id, row.partition): row.sealed_end for row in rows}

    def consume(
        self,
        found: Sequence[FoundFinding],
        ends: Ends,
        now_ms: int,
        trips: Mapping[str, str] | None = None,
    ) -> Consumed:
        """Take what was found in the rows from each old to each new sealed end, all or nothing.

        `ends` maps (topic id, partition) to (old end, new end); `trips` maps finding ids to what was
        done about them (`tripped to MODE (TRIP ID)`, `shadow: why`, `not tripped: why`). Findings that
        are known already are left out. Raises ConsumedElsewhere where an old end is not the one stored.
        """

        def transaction(connection: Connection) -> Consumed:
            consume.advance(connection, ends)
            return consume.take(connection, found, now_ms, trips or {}, self._respond)

        return self.write(transaction)

    def acknowledge(self, incident_id: str, by: str, reason: str, now_ms: int) -> Incident:
        """A person takes it on. Raises StoreError for an unknown incident."""
        return self._change(
            incident_id, by, reason, lambda now: grouping.acknowledge(now, by, reason, now_ms)
        )

    def resolve(
        self, incident_id: str, by: str, reason: str, now_ms: int, verdict: Verdict | None = None
    ) -> Incident:
        """It is over, and was real or not. Raises StoreError for an unknown incident."""
        return self._change(
            incident_id, by, reason, lambda now: grouping.resolve(now, by, reason, now_ms, verdict)
        )

    def resolve_quiet(self, now_ms: int, detector_now_ms: int | None = None) -> list[str]:
        """Resolve the incidents that have been quiet for long enough; returns their ids.

        Quiet is counted in the detectors' time (`detector_now_ms`, their watermark): while
        detection stands still nothing recovers. It defaults to the wall clock.
        """
        detectors_ms = now_ms if detector_now_ms is None else detector_now_ms

        def transaction(connection: Connection) -> list[str]:
            return recovery.resolve_quiet(connection, self._respond, now_ms, detectors_ms)

        return self.write(transaction)

    def incidents(self, include_resolved: bool = False, limit: int = 1_000) -> list[Incident]:
        """Incidents, the latest first."""
        table = tables.incidents
        latest_first = (table.c.opened_at_ms.desc(), table.c.incident_id)
        query = select(table.c.episode).order_by(*latest_first).limit(limit)
        if not include_resolved:
            query = query.where(table.c.status != "resolved")
        rows = self.read(lambda connection: connection.execute(query).all())
        return [msgspec.json.decode(row.episode, type=Episode).incident for row in rows]

    def incident(self, incident_id: str) -> IncidentDetail:
        """One incident with its lead finding and its pages. Raises StoreError where there is none."""
        table, pages = tables.incidents, tables.pages

        def look(connection: Connection) -> IncidentDetail:
            row = connection.execute(select(table).where(table.c.incident_id == incident_id)).first()
            if row is None:
                raise _unknown(incident_id)
            of_incident = select(pages).where(pages.c.incident_id == incident_id).order_by(pages.c.seq)
            told = [dict(page) for page in connection.execute(of_incident).mappings()]
            for page in told:
                del page["body"]
            current = msgspec.json.decode(row.episode, type=Episode)
            lead = msgspec.json.decode(row.lead, type=FindingRow)
            return IncidentDetail(incident=current.incident, lead=lead, trip=row.trip, pages=told)

        return self.read(look)

    def undelivered(self) -> dict[str, int]:
        """For each incident: how many of its messages no target has taken yet."""
        table = tables.pages
        query = (
            select(table.c.incident_id, func.count())
            .where(table.c.state.in_(["pending", "bundled"]) & table.c.incident_id.is_not(None))
            .group_by(table.c.incident_id)
        )
        rows = self.read(lambda connection: connection.execute(query).all())
        return {row[0]: row[1] for row in rows}

    def read(self, transaction: Callable[[Connection], _T]) -> _T:
        """Run a transaction that only reads."""
        return self._attempt(transaction, read_only=True)

    def write(self, transaction: Callable[[Connection], _T]) -> _T:
        """Run a transaction that may be run again as a whole."""
        return self._attempt(transaction, read_only=False)

    def _attempt(self, transaction: Callable[[Connection], _T], *, read_only: bool) -> _T:
        deadline_s = time.monotonic() + self._config.retry_for_ms / 1000
        pause_s = 0.02
        while True:
            try:
                engine = self._engine.execution_options(**{tables.READ_ONLY: read_only})
                with engine.begin() as connection:
                    return transaction(connection)
            except (OperationalError, InterfaceError) as error:
                if time.monotonic() + pause_s > deadline_s:
                    raise _unavailable(error) from None
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 1.0)

    def _change(
        self, incident_id: str, by: str, reason: str, change: Callable[[Episode], Change | None]
    ) -> Incident:
        table = tables.incidents

        def transaction(connection: Connection) -> Incident:
            query = select(table.c.episode).where(table.c.incident_id == incident_id).with_for_update()
            row = connection.execute(query).first()
            if row is None:
                raise _unknown(incident_id)
            current = msgspec.json.decode(row.episode, type=Episode)
            changed = change(current)
            if changed is None:
                return current.incident
            store_change(connection, changed, self._respond, by, reason)
            return changed.episode.incident

        return self.write(transaction)


def _stored_version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(tables.schema_version.name):
        return None
    return connection.scalar(select(tables.schema_version.c.version))


def _create(connection: Connection) -> int:
    tables.metadata.create_all(connection)
    version = connection.scalar(select(tables.schema_version.c.version))
    if version is not None:
        return version
    connection.execute(insert(tables.schema_version).values(version=tables.SCHEMA_VERSION))
    return tables.SCHEMA_VERSION


def _unknown(incident_id: str) -> StoreError:
    return StoreError(f"there is no incident {incident_id}; auditfuse incidents list --all names them")


def _unavailable(error: DBAPIError) -> StateUnavailable:
    # The driver's text may hold the address or values of the statement: only its kind is told.
    kind = type(error.orig).__name__
    return StateUnavailable(
        f"the state database cannot be used now ({kind}); nothing was lost, it is tried again. "
        "Check that it is there, has room and is not locked by another process"
    )

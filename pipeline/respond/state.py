"""The state database: consumed ends, findings, incidents and the outbox change in one transaction.

Every public method is one transaction, tried again as a whole while the database is locked or away, or where
it gave way to another one.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from pipeline.errors import AuditfuseError, StoreError
from pipeline.respond import consume, engine, recovery, schema, tables
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
        self._engine: Engine = engine.open_engine(config)

    def create_schema(self, *, upgrade: bool = False) -> None:
        """Make the tables where there are none. Raises StoreError for a schema of another version; with
        `upgrade` an older one is upgraded instead, where the configuration lets it be."""
        # Read first: where the tables are there, no lock is needed, and a locked database stops no start.
        version = self.read(schema.stored_version)
        if version is None:
            version = self.write(schema.create)
        is_ours = self._config.migrate or self._engine.dialect.name == "sqlite"
        if upgrade and is_ours and schema.FIRST_VERSION <= version < tables.SCHEMA_VERSION:
            self.migrate()
            return
        schema.check(version)

    def schema_version(self) -> int | None:
        """The version of the tables that are there; None where there are none."""
        return self.read(schema.stored_version)

    def migrate(self, target: int = tables.SCHEMA_VERSION) -> int:
        """Move the tables to that version; returns the one that they had. Raises StoreError."""
        return self.write(lambda connection: schema.migrate(connection, target))

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    def sealed_ends(self, shard: str = tables.ALL) -> dict[tuple[str, int], int]:
        """For each (topic id, partition): the sealed end up to which that shard's findings were drawn."""
        query = select(tables.consumed).where(tables.consumed.c.shard == shard)
        rows = self.read(lambda connection: connection.execute(query).all())
        return {(row.topic_id, row.partition): row.sealed_end for row in rows}

    def shards(self) -> list[str]:
        """The shards that have consumed anything, in order."""
        query = select(tables.consumed.c.shard).distinct().order_by(tables.consumed.c.shard)
        return list(self.read(lambda connection: connection.scalars(query).all()))

    def counts(self) -> dict[str, int]:
        """Rows of each table that grows."""
        growing = (tables.incidents, tables.findings, tables.appends, tables.pages, tables.deliveries)

        def look(connection: Connection) -> dict[str, int]:
            queries = {table.name: select(func.count()).select_from(table) for table in growing}
            return {name: connection.scalar(query) or 0 for name, query in queries.items()}

        return self.read(look)

    def consume(
        self,
        found: Sequence[FoundFinding],
        ends: Ends,
        now_ms: int,
        trips: Mapping[str, str] | None = None,
        shard: str = tables.ALL,
    ) -> Consumed:
        """Take what was found in the rows from each old to each new sealed end, all or nothing.

        `shard` says whose ends they are: those of all agents, or of the share that this process detects for.
        `ends` maps (topic id, partition) to (old end, new end); `trips` maps finding ids to what was
        done about them (`tripped to MODE (TRIP ID)`, `shadow: why`, `not tripped: why`). Findings that
        are known already are left out. Raises ConsumedElsewhere where an old end is not the one stored.
        """

        def transaction(connection: Connection) -> Consumed:
            consume.advance(connection, ends, shard)
            return consume.take(connection, found, now_ms, trips or {}, self._respond)

        # Ends alone are the shard's own rows.
        return self.write(transaction, turn=bool(found))

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
        """Run a transaction that only reads. Raises StateUnavailable."""
        options = {engine.READ_ONLY: True}
        if self._engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        return self._attempt(transaction, options)

    def write(self, transaction: Callable[[Connection], _T], *, turn: bool = True) -> _T:
        """Run a transaction that may be run again as a whole. Raises StateUnavailable.

        Without a `turn` it may touch only rows that no other transaction writes.
        """
        return self._attempt(transaction, {engine.TURN: turn})

    def _attempt(self, transaction: Callable[[Connection], _T], options: dict[str, Any]) -> _T:
        deadline_s = time.monotonic() + self._config.retry_for_ms / 1000
        pause_s = 0.02
        while True:
            try:
                with self._engine.execution_options(**options).begin() as connection:
                    return transaction(connection)
            except (OperationalError, InterfaceError, InternalError, NoConnection) as error:
                if time.monotonic() + pause_s > deadline_s:
                    raise _unavailable(error) from None
            except DBAPIError as error:
                raise StoreError(f"the state database refuses a statement ({engine.hint(error)})") from None
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


def _unknown(incident_id: str) -> StoreError:
    return StoreError(f"there is no incident {incident_id}; auditfuse incidents list --all names them")


def _unavailable(error: DBAPIError | NoConnection) -> StateUnavailable:
    # The driver's text may hold the address or values of the statement: only its kind is told.
    kind = engine.hint(error) if isinstance(error, DBAPIError) else "all connections are in use"
    return StateUnavailable(
        f"the state database cannot be used now ({kind}); nothing was lost, it is tried again. "
        "Check that it is there, has room and is not locked by another process"
    )

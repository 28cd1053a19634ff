"""What holds pages back for a time: silences that people place, and maintenance windows.

Findings and incidents are recorded all the same. The functions that take a connection take part in a
transaction that the caller began.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection, select, update

from pipeline.respond import tables
from pipeline.respond.batch import was_tripped
from pipeline.respond.config import RespondConfig
from pipeline.respond.plan import HOLDABLE

_CHUNK = 500
_SUBJECT = tuple(
    tables.incidents.c[name]
    for name in ("incident_id", "detector", "environment", "agent_id", "severity", "status", "trip")
)
"""What of an incident is looked at: not its texts, of which there may be thousands."""


class Hold(Protocol):
    """Holds the pages of the incidents that it covers."""

    @property
    def name(self) -> str: ...
    @property
    def holds_trips(self) -> bool: ...
    def covers(self, detector: str, environment: str, agent_id: str) -> bool: ...


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """A hold that a person placed. Globs say whose pages wait."""

    silence_id: str
    agent: str
    detector: str
    environment: str
    until_ms: int
    holds_trips: bool
    by: str
    reason: str
    created_at_ms: int
    ended_at_ms: int | None = None
    ended_by: str | None = None

    @property
    def name(self) -> str:
        """What the pages that it holds are marked with."""
        return self.silence_id

    def covers(self, detector: str, environment: str, agent_id: str) -> bool:
        """Whether it is about that incident."""
        pairs = ((self.detector, detector), (self.environment, environment), (self.agent, agent_id))
        return all(fnmatchcase(value, glob) for glob, value in pairs)


class Subject(Protocol):
    """What a hold is asked about: a row of `incidents` will do."""

    @property
    def detector(self) -> str: ...
    @property
    def environment(self) -> str: ...
    @property
    def agent_id(self) -> str: ...
    @property
    def severity(self) -> str: ...


def holder(holds: Iterable[Hold], subject: Subject, trip: str | None) -> str | None:
    """The name of what holds an incident's pages; None: they go out.

    A critical page about a trip goes out, unless the hold says that it holds those too.
    """
    is_trip = subject.severity == "critical" and was_tripped(trip)
    for hold in holds:
        is_stronger = hold.holds_trips or not is_trip
        if is_stronger and hold.covers(subject.detector, subject.environment, subject.agent_id):
            return hold.name
    return None


def active_holds(connection: Connection, config: RespondConfig, now_ms: int) -> list[Hold]:
    """The silences and the maintenance windows of this moment."""
    holds: list[Hold] = [window for window in config.maintenance if window.is_active(now_ms)]
    return [*holds, *active_silences(connection, now_ms)]


def active_silences(connection: Connection, now_ms: int) -> list[Silence]:
    """Silences that have not ended, in the order in which they were placed."""
    table = tables.silences
    going_on = (table.c.until_ms > now_ms) & table.c.ended_at_ms.is_(None)
    rows = connection.execute(select(table).where(going_on).order_by(table.c.created_at_ms))
    return [Silence(**row) for row in rows.mappings()]


def hold_pending(connection: Connection, hold: Hold) -> int:
    """Hold the pages that wait for delivery already. Returns how many."""
    pages, incidents = tables.pages, tables.incidents
    query = (
        select(pages.c.seq, *_SUBJECT)
        .join_from(pages, incidents, pages.c.incident_id == incidents.c.incident_id)
        .where((pages.c.state == "pending") & pages.c.change.in_(HOLDABLE))
    )
    rows: Sequence[Any] = connection.execute(query).all()
    held = [row.seq for row in rows if holder([hold], row, row.trip)]
    _set(connection, held, state="held", held_by=hold.name)
    return len(held)


def release(connection: Connection, config: RespondConfig, now_ms: int) -> int:
    """Let go what no hold covers any more: what is still open is paged, the latest change of each incident;
    what is over is dropped. Returns how many pages go out."""
    pages, incidents = tables.pages, tables.incidents
    query = (
        select(pages.c.seq, pages.c.target, *_SUBJECT)
        .join_from(pages, incidents, pages.c.incident_id == incidents.c.incident_id)
        .where(pages.c.state == "held")
        .order_by(pages.c.seq)
    )
    rows: Sequence[Any] = connection.execute(query).all()
    if not rows:
        return 0
    holds = active_holds(connection, config, now_ms)
    free = [row for row in rows if holder(holds, row, row.trip) is None]
    latest = {(row.incident_id, row.target): row.seq for row in free if row.status != "resolved"}
    dropped = [row.seq for row in free if row.seq not in set(latest.values())]
    _set(connection, dropped, state="dropped")
    freed = {"state": "pending", "held_by": None, "next_attempt_at_ms": now_ms, "created_at_ms": now_ms}
    _set(connection, list(latest.values()), **freed)
    answers = {"unanswered_since_ms": now_ms, "attend_at_ms": now_ms}
    unanswered = sorted({row.incident_id for row in free if row.status == "open"})
    for start in range(0, len(unanswered), _CHUNK):
        these = incidents.c.incident_id.in_(unanswered[start : start + _CHUNK])
        connection.execute(update(incidents).where(these).values(**answers))
    return len(latest)


def _set(connection: Connection, seqs: Sequence[int], **values: object) -> None:
    table = tables.pages
    for start in range(0, len(seqs), _CHUNK):
        these = table.c.seq.in_(seqs[start : start + _CHUNK])
        connection.execute(update(table).where(these).values(**values))

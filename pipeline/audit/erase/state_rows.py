"""The state database: incidents, findings on their way, pages. Rows go, or lose the person's texts.

An incident that is resolved goes with its pages where the erasure covers what it is about. One that is
not resolved is at work: it loses the texts alone, and stays until it is resolved.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Connection, Select, Table, delete, inspect, make_url, select, update

from pipeline.audit.erase.reach import Reached
from pipeline.audit.erase.texts import Texts
from pipeline.audit.store import FINDINGS
from pipeline.respond import tables
from pipeline.respond.incidents import Episode
from pipeline.respond.state import StateDatabase
from schemas.erasure import Scope

if TYPE_CHECKING:
    from pipeline.audit.erase.scope import Predicate
    from pipeline.audit.erase.values import Needles
    from pipeline.config import Config


_ROWS_AT_ONCE = 500
_OF_INCIDENT = ("episode", "lead", "trip", "agent_id")
"""Columns of an incident that hold text."""


def erase_state(config: Config, predicate: Predicate, looked_for: Needles | None, *, erase: bool) -> Reached:
    """Erase in the state database, or only tell what is out of reach. Raises StateUnavailable."""
    reached = Reached()
    if predicate.scope.topic not in (None, FINDINGS) or not _is_there(config):
        return reached
    state = StateDatabase(config.state)
    try:
        if state.read(lambda connection: inspect(connection).has_table("incidents")):
            work = _Work(predicate.scope, Texts(predicate.scope, looked_for), reached, erase=erase)
            (state.write if erase else state.read)(work.run)
            if erase and work.changed:
                _compact(config, reached)
    finally:
        state.close()
    return reached


class _Work:
    """One transaction's work; it may be run again as a whole."""

    def __init__(self, scope: Scope, texts: Texts, reached: Reached, *, erase: bool) -> None:
        self._scope = scope
        self._texts = texts
        self._reached = reached
        self._erase = erase
        self.changed = 0

    def run(self, connection: Connection) -> None:
        """Go through the incidents, then through what else holds text."""
        self.changed = 0
        told: set[str] = set()
        for row in _rows(connection, select(tables.incidents)):
            incident = msgspec.json.decode(row.episode, type=Episode).incident
            if not self._covers(
                incident.environment, incident.agent_id, incident.opened_at_ms, incident.updated_at_ms
            ):
                continue
            if self._texts:
                if self._clean(connection, tables.incidents, "incident_id", row, _OF_INCIDENT):
                    told.add(row.incident_id)
            elif incident.status == "resolved":
                told.add(row.incident_id)
                self._drop(connection, row.incident_id)
            else:
                self._reached.missed(
                    f"incident {row.incident_id}: until it is resolved; then run the erasure again"
                )
        self._tell_of_pages(connection, told)
        if self._texts:
            self._clean_all(connection, tables.appends, "seq", ("body",))
            self._clean_all(connection, tables.pages, "seq", ("body", "last_error", "together"))
            self._clean_all(connection, tables.deliveries, "seq", ("error",))
            self._clean_all(connection, tables.targets, "name", ("last_error",))
            self._clean_all(connection, tables.silences, "silence_id", ("agent", "reason"))
        if self.changed and self._erase:
            self._reached.done.append(f"{self.changed} rows of the state database erased or cleaned")

    def _covers(self, environment: str, agent_id: str, first_ms: int, last_ms: int) -> bool:
        scope = self._scope
        if scope.environment not in (None, environment) or scope.agent not in (None, agent_id):
            return False
        if scope.from_ms is not None and last_ms < scope.from_ms:
            return False
        if scope.to_ms is not None and first_ms >= scope.to_ms:
            return False
        return scope.stored_before_ms is None or last_ms < scope.stored_before_ms

    def _drop(self, connection: Connection, incident_id: str) -> None:
        pages = tables.pages
        self.changed += 1
        if not self._erase:
            return
        of_incident = select(pages.c.page_id).where(pages.c.incident_id == incident_id)
        connection.execute(delete(tables.deliveries).where(tables.deliveries.c.page_id.in_(of_incident)))
        for table in (pages, tables.findings, tables.incidents):
            connection.execute(delete(table).where(table.c.incident_id == incident_id))
        appends = tables.appends
        for row in _rows(connection, select(appends)):
            if incident_id.encode() in row.body:
                connection.execute(delete(appends).where(appends.c.seq == row.seq))

    def _clean_all(self, connection: Connection, table: Table, key: str, columns: Sequence[str]) -> None:
        for row in _rows(connection, select(table)):
            self._clean(connection, table, key, row, columns)

    def _clean(
        self, connection: Connection, table: Table, key: str, row: Any, columns: Sequence[str]
    ) -> bool:
        """Take the texts out of some columns of a row; returns whether there were any."""
        held = {name: value for name in columns if self._texts.are_in(value := getattr(row, name))}
        if not held:
            return False
        self.changed += 1
        if self._erase:
            cleaned = {name: self._cleaned(value) for name, value in held.items()}
            connection.execute(update(table).where(table.c[key] == getattr(row, key)).values(cleaned))
        return True

    def _cleaned(self, value: bytes | str) -> bytes | str:
        return (
            self._texts.out_of(value)
            if isinstance(value, bytes)
            else self._texts.out_of(value.encode()).decode()
        )

    def _tell_of_pages(self, connection: Connection, incident_ids: set[str]) -> None:
        pages = tables.pages
        sent: dict[str, int] = {}
        for row in _rows(connection, select(pages).where(pages.c.state == "sent")):
            if row.incident_id in incident_ids or self._texts.are_in(row.body):
                sent[row.target] = sent.get(row.target, 0) + 1
        for target, count in sorted(sent.items()):
            self._reached.missed(
                f"{count} pages that were sent to {target}: for as long as it keeps messages"
            )


def _rows(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    """The rows a few at a time: what was sent over the years must not fill the memory. Rows that are changed
    meanwhile may come again; then there is nothing left in them to change."""
    for part in connection.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE}).partitions():
        yield from part


def _is_there(config: Config) -> bool:
    """Whether there is a database: opening an SQLite file that is missing would make it."""
    file = _sqlite_file(config)
    return file is None or file.exists()


def _sqlite_file(config: Config) -> Path | None:
    url = make_url(config.state.url.get_secret_value())
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _compact(config: Config, reached: Reached) -> None:
    """Write the database anew, so that the bytes of what was deleted are gone from it."""
    file = _sqlite_file(config)
    if file is None:
        reached.missed(
            "the state database server's own log and free pages: until it has vacuumed and archived"
        )
        return
    try:
        with contextlib.closing(
            sqlite3.connect(file, timeout=config.state.busy_timeout_ms / 1000)
        ) as database:
            database.execute("PRAGMA secure_delete = ON")
            database.execute("VACUUM")
            busy = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error as error:
        reached.missed(f"free pages of the state database ({type(error).__name__}): run the erasure again")
        return
    if busy:
        reached.missed(
            "the state database's write-ahead log: until no process reads from it; run the erasure again"
        )

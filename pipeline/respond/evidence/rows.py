"""The sealed rows that an incident rests on: its findings and changes, what was ordered, the events.
Blocking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from pipeline.audit.control import PARTITION
from pipeline.audit.proof.find import Position
from pipeline.audit.query import Query, QueryError, connect_newest
from pipeline.audit.store import CONTROL, FINDINGS, Store
from schemas.finding import FindingRow

if TYPE_CHECKING:
    import duckdb

MAX_EVENTS = 5_000
MAX_QUERIES = 50
"""Findings whose events are looked for: the first ones."""
PAYLOAD = ("input", "output", "attributes")


class Kept(NamedTuple):
    """A row and where it stands."""

    position: Position
    content: bytes
    """JSON."""


class Gathered(NamedTuple):
    """All of them, each kind in the order of its partition."""

    findings: list[Kept]
    """Rows of `_findings`: the findings, withdrawals and changes of the incident."""
    commands: list[Kept]
    """Rows of `_control` that the incident's record names."""
    events: list[Kept]
    is_cut: bool
    """Whether there are more events than are here."""


def gather(store: Store, incident_id: str, command_ids: Iterable[str], *, with_payload: bool) -> Gathered:
    """Read the rows of an incident. Raises StoreError."""
    with connect_newest(store) as connection:
        findings = list(
            _appended(
                connection,
                FINDINGS,
                'select "offset", meta from finding_rows where incident_id = $one and meta is not null '
                "order by 1",
                {"one": incident_id},
            )
        )
        commands = list(
            _appended(
                connection,
                CONTROL,
                "select \"offset\", meta from control_rows where kind = 'command' and meta is not null "
                "and list_contains($ids, id) order by 1",
                {"ids": sorted(command_ids)},
            )
        )
        events, is_cut = _events(connection, list(_queries(findings)), with_payload)
    return Gathered(findings, commands, events, is_cut)


def _appended(
    connection: duckdb.DuckDBPyConnection, topic_id: str, sql: str, values: dict[str, Any]
) -> Iterator[Kept]:
    for offset, meta in connection.execute(sql, values).fetchall():
        yield Kept(Position(topic_id, PARTITION, int(offset), None), str(meta).encode())


def _queries(findings: Iterable[Kept]) -> Iterator[str]:
    """The queries that were stored with the findings."""
    for row in findings:
        if msgspec.json.decode(row.content)["kind"] == "finding":
            sql = msgspec.json.decode(row.content, type=FindingRow).evidence.get("sql")
            if isinstance(sql, str):
                yield sql


def _events(
    connection: duckdb.DuckDBPyConnection, queries: list[str], with_payload: bool
) -> tuple[list[Kept], bool]:
    found: dict[Position, bytes] = {}
    shown = "" if with_payload else f" exclude ({', '.join(PAYLOAD)})"
    is_cut = len(queries) > MAX_QUERIES
    for sql in dict.fromkeys(queries[:MAX_QUERIES]):
        left = MAX_EVENTS - len(found)
        # The query is one that was sealed with the finding; the connection can only read, and only this
        # catalog.
        listed = (
            'select topic_id, "partition", "offset", item, to_json(e) '  # noqa: S608
            f"from (select *{shown} from ({sql})) as e limit {left + 1}"
        )
        rows = [row for result in _run(connection, listed) for row in result.fetchall()]
        is_cut = is_cut or len(rows) > left
        for topic_id, partition, offset, item, content in rows[:left]:
            found.setdefault(Position(topic_id, partition, offset, item), str(content).encode())
    return [Kept(position, found[position]) for position in sorted(found, key=_order)], is_cut


def _run(connection: duckdb.DuckDBPyConnection, sql: str) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        yield from Query(connection).run(sql)
    except QueryError:
        return  # made by another version: the findings hold it all the same


def _order(position: Position) -> tuple[str, int, int, int]:
    return position.topic_id, position.partition, position.offset, position.item or 0

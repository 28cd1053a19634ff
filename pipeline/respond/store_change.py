"""What is stored of an incident, and of a change that a person or recovery made to it.

The functions take part in a transaction that the caller began.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from pipeline.respond import tables
from pipeline.respond.config import RespondConfig
from pipeline.respond.incidents import Change, Episode
from pipeline.respond.updates import enqueue_update
from schemas.finding import RowOfFindings


def store_change(connection: Connection, change: Change, config: RespondConfig, by: str, reason: str) -> None:
    """Store what a person, or recovery, did to an incident, its row on the way into `_findings`, and what
    those who were paged are told of it."""
    table = tables.incidents
    incident = change.episode.incident
    was = connection.scalar(select(table.c.status).where(table.c.incident_id == incident.incident_id))
    columns = {**columns_of(change.episode), "unanswered_since_ms": None, "attend_at_ms": None}
    connection.execute(update(table).where(table.c.incident_id == incident.incident_id).values(**columns))
    if change.row is not None:
        append_rows(connection, [change.row])
    if was != incident.status:  # a verdict that is given later is no news to who was paged
        enqueue_update(connection, change.episode, by, reason, config, incident.updated_at_ms)


def columns_of(episode: Episode) -> dict[str, Any]:
    """The columns of `incidents` that follow from the episode."""
    incident = episode.incident
    return {
        "incident_id": incident.incident_id,
        "incident_key": incident.incident_key,
        "number": episode.number,
        "detector": incident.detector,
        "environment": incident.environment,
        "agent_id": incident.agent_id,
        "status": incident.status,
        "severity": incident.severity,
        "opened_at_ms": incident.opened_at_ms,
        "resolved_at_ms": episode.resolved_at_ms,
        "last_window_end_ms": episode.last_window_end_ms,
        "episode": msgspec.json.encode(episode),
    }


def append_rows(connection: Connection, rows: Sequence[RowOfFindings]) -> None:
    """Put rows on their way into `_findings`."""
    bodies = [{"row_id": row.id, "kind": row.kind, "body": msgspec.json.encode(row)} for row in rows]
    insert_rows(connection, tables.appends, bodies)


def insert_rows(connection: Connection, table: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, of which there may be none."""
    if rows:
        connection.execute(insert(table), rows)

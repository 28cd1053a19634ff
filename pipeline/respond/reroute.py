"""Messages of targets that are configured no more: they go to the targets that their route has now.

Takes part in a transaction that the caller began.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from pipeline.respond import tables
from pipeline.respond.batch import new_message
from pipeline.respond.config import RespondConfig
from pipeline.respond.incidents import SEVERITY_RANK, Episode
from schemas.finding import Severity

SEVERITIES: dict[int, Severity] = {rank: severity for severity, rank in SEVERITY_RANK.items()}


def orphans(connection: Connection, config: RespondConfig, limit: int | None = None) -> Sequence[Any]:
    """What waits for targets that are configured no more, with the incidents' episodes."""
    pages, incidents = tables.pages, tables.incidents
    names = [target.name for target in config.all_targets()]
    query = (
        select(pages, incidents.c.episode)
        .join_from(pages, incidents, pages.c.incident_id == incidents.c.incident_id, isouter=True)
        .where(pages.c.state.in_(["pending", "held"]) & pages.c.target.not_in(names))
        .limit(limit)
    )
    return connection.execute(query).all()


def reroute(connection: Connection, config: RespondConfig, now_ms: int) -> int:
    """Send it to the others. Returns how many messages it was."""
    found = orphans(connection, config)
    for row in found:
        _reroute_one(connection, row, config, now_ms)
    return len(found)


def _reroute_one(connection: Connection, row: Any, config: RespondConfig, now_ms: int) -> None:
    pages = tables.pages
    environment = ""
    if row.episode is not None:
        environment = msgspec.json.decode(row.episode, type=Episode).incident.environment
    taken = set(connection.scalars(select(pages.c.target).where(pages.c.page_id == row.page_id)))
    for target in config.targets_for(SEVERITIES[row.severity_rank], environment):
        if target not in taken:
            message = new_message(
                page_id=row.page_id,
                target=target,
                change=row.change,
                incident_id=row.incident_id,
                severity_rank=row.severity_rank,
                now_ms=now_ms,
                body=row.body,
            )
            held = {"state": row.state, "held_by": row.held_by}
            connection.execute(insert(pages), [message | held])
    connection.execute(update(pages).where(pages.c.seq == row.seq).values(state="rerouted"))

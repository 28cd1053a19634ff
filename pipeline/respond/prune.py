"""What the state database need not keep: resolved incidents of long ago, and what was told of them.

Takes part in a transaction that the caller began. The audit store keeps findings and incidents for good.
"""

from sqlalchemy import Connection, delete, insert, select, update

from pipeline.respond import tables
from pipeline.respond.batch import NO_INCIDENT

AT_ONCE = 500
"""Rows of a kind that one transaction takes away: others must not wait long for the database."""


def prune(connection: Connection, before_ms: int) -> int:
    """Delete up to 500 resolved incidents whose last change is older, and what is as old and belongs to none.
    Returns how many rows of either kind; 0: nothing is left to do."""
    gone = _prune_incidents(connection, before_ms)
    pages, deliveries, silences = tables.pages, tables.deliveries, tables.silences
    told = (pages.c.state.in_(["sent", "dropped", "rerouted"])) & (pages.c.created_at_ms < before_ms)
    of_none = select(pages.c.seq).where(told & pages.c.incident_id.is_(None)).limit(AT_ONCE)
    gone += connection.execute(delete(pages).where(pages.c.seq.in_(of_none))).rowcount
    old = select(deliveries.c.seq).where(deliveries.c.at_ms < before_ms).limit(AT_ONCE)
    gone += connection.execute(delete(deliveries).where(deliveries.c.seq.in_(old))).rowcount
    gone += connection.execute(delete(silences).where(silences.c.until_ms < before_ms)).rowcount
    return gone + _prune_shadow(connection, before_ms)


def _prune_incidents(connection: Connection, before_ms: int) -> int:
    table, pages = tables.incidents, tables.pages
    query = (
        select(table.c.incident_id, table.c.incident_key, table.c.number)
        .where((table.c.status == "resolved") & (table.c.resolved_at_ms < before_ms))
        .limit(AT_ONCE)
    )
    rows = connection.execute(query).all()
    for row in rows:
        _remember(connection, row.incident_key, row.number)
    ids = [row.incident_id for row in rows]
    of_them = select(pages.c.page_id).where(pages.c.incident_id.in_(ids))
    connection.execute(delete(tables.deliveries).where(tables.deliveries.c.page_id.in_(of_them)))
    for each in (pages, tables.findings, tables.links, table):
        connection.execute(delete(each).where(each.c.incident_id.in_(ids)))
    return len(ids)


def _remember(connection: Connection, incident_key: str, number: int) -> None:
    """An id names one incident for ever: the next one of its key gets a higher number."""
    table = tables.numbers
    here = table.c.incident_key == incident_key
    last = connection.scalar(select(table.c.number).where(here))
    if last is None:
        connection.execute(insert(table).values(incident_key=incident_key, number=number))
    elif last < number:
        connection.execute(update(table).where(here).values(number=number))


def _prune_shadow(connection: Connection, before_ms: int) -> int:
    table = tables.findings
    old = (table.c.incident_id == NO_INCIDENT) & (table.c.found_at_ms < before_ms)
    some = select(table.c.finding_id).where(old).limit(AT_ONCE)
    return connection.execute(delete(table).where(table.c.finding_id.in_(some))).rowcount

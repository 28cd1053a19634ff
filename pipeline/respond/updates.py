"""What those who were paged are told later: that somebody has taken it on, and that it is over.

PagerDuty and Opsgenie change and close their alert by it; chats get a line. The functions take part in a
transaction that the caller began.
"""

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from pipeline.errors import ConfigError
from pipeline.respond import tables
from pipeline.respond.batch import new_message
from pipeline.respond.config import RespondConfig
from pipeline.respond.incidents import SEVERITY_RANK, Episode
from pipeline.respond.page import TITLE_CHARS, Page, inert
from pipeline.respond.plan import HOLDABLE, UNANSWERED, UPDATES
from schemas.incident import Incident

_WORDS = {"acknowledged": "ACKNOWLEDGED", "resolved": "RESOLVED"}
_CHUNK = 500


def enqueue_update(
    connection: Connection,
    episode: Episode,
    by: str | None,
    reason: str,
    config: RespondConfig,
    now_ms: int,
    *,
    only: str | None = None,
) -> None:
    """Tell the targets that were paged about an incident what became of it; with `only`, that target alone.
    `by` is None where that happened before the target was paged.

    What is about to be told and is not true any more is dropped first.
    """
    pages, incident = tables.pages, episode.incident
    kind = incident.status
    if kind == "open":
        return
    overtaken = [*UNANSWERED, *(["acknowledged"] if kind == "resolved" else [])]
    _drop(connection, [incident.incident_id], overtaken)
    page_id = f"{incident.incident_id}/{episode.changes}"
    told = (pages.c.incident_id == incident.incident_id) & (pages.c.state == "sent")
    own = told & pages.c.told_in.is_(None) & pages.c.change.in_(HOLDABLE)
    paged = set(connection.scalars(select(pages.c.target).where(own).distinct()))
    known = set(connection.scalars(select(pages.c.target).where(pages.c.page_id == page_id)))
    wanted = [name for name in sorted(paged - known) if only in (None, name) and _wants(config, name, kind)]
    body = msgspec.json.encode(_render(incident, kind, by, reason, page_id))
    messages = [_message(incident, kind, name, page_id, body, now_ms) for name in wanted]
    if messages:
        connection.execute(insert(pages), messages)


def overtake_updates(connection: Connection, incident_ids: Collection[str]) -> None:
    """Drop what says that these are over or taken on, where it is not told yet: they go on."""
    _drop(connection, incident_ids, UPDATES)


def drop_pages(connection: Connection, incident_id: str) -> None:
    """Drop every page about an incident that is not told yet: another incident tells it."""
    _drop(connection, [incident_id], HOLDABLE)


def _drop(connection: Connection, incident_ids: Collection[str], changes: Collection[str]) -> None:
    pages = tables.pages
    waits = pages.c.state.in_(["pending", "held"]) & pages.c.change.in_(changes)
    ids = sorted(incident_ids)
    for start in range(0, len(ids), _CHUNK):
        these = pages.c.incident_id.in_(ids[start : start + _CHUNK])
        connection.execute(update(pages).where(these & waits).values(state="dropped"))


def _wants(config: RespondConfig, target: str, kind: str) -> bool:
    configured = config.target(target)
    try:
        return configured is not None and configured.wants(kind)
    except ConfigError:
        return False  # its address is not set: nothing can be told to it


def _message(
    incident: Incident, kind: str, target: str, page_id: str, body: bytes, now_ms: int
) -> dict[str, Any]:
    return new_message(
        page_id=page_id,
        target=target,
        change=kind,
        incident_id=incident.incident_id,
        severity_rank=SEVERITY_RANK[incident.severity],
        now_ms=now_ms,
        body=body,
    )


def _render(incident: Incident, kind: str, by: str | None, reason: str, page_id: str) -> Page:
    agent, environment = inert(incident.agent_id), inert(incident.environment)
    who = "before this could be told" if by is None else f"by {inert(by)}"
    why = f": {inert(reason)}" if reason else ""
    return Page(
        page_id=page_id,
        dedup_key=incident.incident_id,
        severity=incident.severity,
        event="resolve" if kind == "resolved" else "acknowledge",
        title=f"{_WORDS[kind]} {agent} in {environment}: {inert(incident.summary)}"[:TITLE_CHARS],
        body=f"{kind} {who}{why}\nincident {incident.incident_id}",
    )

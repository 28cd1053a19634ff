"""Who must be told of what the findings of one transaction did, and when: messages for the outbox.

Takes part in a transaction that the caller began.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, case, func, insert, select

from pipeline.respond import tables
from pipeline.respond.batch import Batch, new_message, was_tripped
from pipeline.respond.config import RespondConfig
from pipeline.respond.holds import Hold, active_holds, holder
from pipeline.respond.incidents import PAGED, SEVERITY_RANK, Change
from pipeline.respond.updates import overtake_updates
from schemas.incident import Incident

LATELY_MS = 5 * 60_000
EVERY_AGENT = "*"
_CHUNK = 500

Agent = tuple[str, str]
"""(environment, agent id)."""


class Told(NamedTuple):
    """What was paged about an agent within the last minutes."""

    rank: int
    """The severity of the worst of it."""
    together_at_ms: int | None
    """When more about it is to be told in one page, where some waits for that already."""


def tell(connection: Connection, batch: Batch, now_ms: int, config: RespondConfig) -> int:
    """Put the pages of a batch into the outbox. Returns how many."""
    if not batch.paged:
        return 0
    holds = active_holds(connection, config, now_ms)
    agents = {
        (one.episode.incident.environment, one.episode.incident.agent_id) for one in batch.paged.values()
    }
    told = _told_lately(connection, agents, now_ms) if config.agent_pages_together_s else {}
    messages = list(_messages(batch, holds, told, now_ms, config))
    reopened = [incident_id for incident_id, one in batch.paged.items() if one.kind == "reopened"]
    overtake_updates(connection, reopened)
    if messages:
        connection.execute(insert(tables.pages), messages)
    return len(messages)


def _messages(
    batch: Batch, holds: Sequence[Hold], told: dict[Agent, Told], now_ms: int, config: RespondConfig
) -> Iterator[dict[str, Any]]:
    worst_first = sorted(batch.paged.items(), key=lambda one: -_rank(one[1].episode.incident))
    for incident_id, change in worst_first:
        incident, done = change.episode.incident, batch.trips.get(incident_id)
        held_by = holder(holds, incident, done)
        at_ms = None
        if held_by is None:
            at_ms = _together_at_ms(incident, done, told, now_ms, config)
        for target in config.targets_for(incident.severity, incident.environment):
            message = new_message(
                page_id=_page_id(incident_id, change),
                target=target,
                change=change.kind,
                incident_id=incident_id,
                severity_rank=_rank(incident),
                now_ms=now_ms,
                awaits_row=batch.leads[incident_id].id,
                awaits_until_ms=now_ms + int(config.append_wait_s * 1000),
            )
            if held_by is not None:
                message |= {"state": "held", "held_by": held_by}
            elif at_ms is not None:
                together = f"{incident.environment}\t{incident.agent_id}"
                message |= {"together": together, "next_attempt_at_ms": at_ms}
            yield message


def _together_at_ms(
    incident: Incident, done: str | None, told: dict[Agent, Told], now_ms: int, config: RespondConfig
) -> int | None:
    """When this is told together with more about its agent; None: at once, on its own."""
    if incident.agent_id == EVERY_AGENT or not config.agent_pages_together_s:
        return None
    agent, rank = (incident.environment, incident.agent_id), _rank(incident)
    before = told.get(agent)
    if before is None or rank > before.rank or was_tripped(done):
        told[agent] = Told(rank, before.together_at_ms if before else None)
        return None
    at_ms = before.together_at_ms or now_ms + int(config.agent_pages_together_s * 1000)
    told[agent] = Told(before.rank, at_ms)
    return at_ms


def _told_lately(connection: Connection, agents: Collection[Agent], now_ms: int) -> dict[Agent, Told]:
    pages, incidents = tables.pages, tables.incidents
    names = sorted({agent_id for _, agent_id in agents})
    told: dict[Agent, Told] = {}
    for start in range(0, len(names), _CHUNK):
        query = (
            select(
                incidents.c.environment,
                incidents.c.agent_id,
                func.max(pages.c.severity_rank).label("rank"),
                func.max(_waiting_at(pages, now_ms)).label("at_ms"),
            )
            .join_from(incidents, pages, pages.c.incident_id == incidents.c.incident_id)
            .where(
                incidents.c.agent_id.in_(names[start : start + _CHUNK]),
                pages.c.created_at_ms > now_ms - LATELY_MS,
                pages.c.change.in_(PAGED),
                pages.c.state.not_in(["held", "dropped"]),
            )
            .group_by(incidents.c.environment, incidents.c.agent_id)
        )
        for row in connection.execute(query):
            told[row.environment, row.agent_id] = Told(row.rank, row.at_ms)
    return told


def _waiting_at(pages: Table, now_ms: int) -> Any:
    """The time of a message that waits to be told together with others; null for all others."""
    waits = (
        pages.c.together.is_not(None)
        & (pages.c.state == "pending")
        & (pages.c.attempts == 0)
        & (pages.c.next_attempt_at_ms > now_ms)
    )
    return case((waits, pages.c.next_attempt_at_ms), else_=None)


def _page_id(incident_id: str, change: Change) -> str:
    return f"{incident_id}/{change.episode.changes}"


def _rank(incident: Incident) -> int:
    return SEVERITY_RANK[incident.severity]

"""The outbox as stored: rows on their way into `_findings`, and messages on their way to targets."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, and_, case, delete, exists, func, insert, or_, select, update

from pipeline.respond import page as paging
from pipeline.respond import tables
from pipeline.respond.attempts import record_attempt
from pipeline.respond.batch import new_message
from pipeline.respond.config import RespondConfig
from pipeline.respond.incidents import Episode
from pipeline.respond.page import Page
from pipeline.respond.pager import Sent
from pipeline.respond.plan import HOLDABLE, MINUTE_MS, SUMMARY, Lately, Message
from pipeline.respond.reroute import SEVERITIES, orphans, reroute
from pipeline.respond.state import StateDatabase
from schemas.finding import FindingRow, IncidentRow, RowOfFindings, Severity, SilenceRow, WithdrawalRow
from schemas.incident import Incident

DUE_LIMIT = 20_000
"""Messages looked at in one round of a target; without their text."""
_ROWS: dict[str, msgspec.json.Decoder[RowOfFindings]] = {
    "finding": msgspec.json.Decoder(FindingRow),
    "withdrawal": msgspec.json.Decoder(WithdrawalRow),
    "incident": msgspec.json.Decoder(IncidentRow),
    "silence": msgspec.json.Decoder(SilenceRow),
}


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a message is rendered from: either a ready page, or an incident and its lead finding."""

    ready: Page | None
    episode: Episode | None
    lead: FindingRow | None
    trip: str | None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the outbox and not out of it."""

    appends: int
    """Rows that are not sealed in `_findings` yet."""
    pages: int
    """Messages that no target has taken yet, one a page and target."""
    oldest_page_ms: int | None
    open_incidents: dict[str, int]
    """Incidents that are not resolved, by severity."""


class TargetHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How a target fares."""

    failures: int = 0
    failing_since_ms: int | None = None
    next_attempt_at_ms: int = 0
    last_error: str | None = None


class Outbox:
    """What is waiting, and the record of what was tried. Each method is one transaction."""

    def __init__(self, state: StateDatabase, config: RespondConfig) -> None:
        self._state = state
        self._config = config

    def pending_appends(self, limit: int) -> list[tuple[int, RowOfFindings]]:
        """The oldest rows that are not sealed in `_findings` yet."""
        table = tables.appends
        query = select(table.c.seq, table.c.kind, table.c.body).order_by(table.c.seq).limit(limit)
        rows = self._state.read(lambda connection: connection.execute(query).all())
        return [(row.seq, _ROWS[row.kind].decode(row.body)) for row in rows]

    def appended(self, seqs: Sequence[int]) -> None:
        """These rows are sealed."""
        table = tables.appends

        def transaction(connection: Connection) -> None:
            # By number and not by range: a lower one may be committed later than a higher one.
            for start in range(0, len(seqs), 500):
                connection.execute(delete(table).where(table.c.seq.in_(seqs[start : start + 500])))

        self._state.write(transaction)

    def due(self, target: str, now_ms: int) -> list[Message]:
        """What may be sent to a target now, the worst first. A page waits for its finding to be
        sealed, but only until its time is up: paging does not depend on the store."""
        pages, appends, incidents = tables.pages, tables.appends, tables.incidents
        waiting = exists().where(appends.c.row_id == pages.c.awaits_row)
        resolved = case((incidents.c.status == "resolved", 1), else_=0).label("resolved")
        tripped = case((incidents.c.trip.like("tripped%"), 1), else_=0).label("tripped")
        query = (
            select(*(column for column in pages.c if column is not pages.c.body), resolved, tripped)
            .join_from(pages, incidents, pages.c.incident_id == incidents.c.incident_id, isouter=True)
            .where(
                and_(
                    pages.c.target == target,
                    pages.c.state == "pending",
                    pages.c.next_attempt_at_ms <= now_ms,
                    or_(pages.c.awaits_until_ms <= now_ms, ~waiting),
                )
            )
            .order_by(pages.c.severity_rank.desc(), pages.c.attempts, pages.c.seq)
            .limit(DUE_LIMIT)
        )
        return [_message(row) for row in self._state.read(lambda connection: connection.execute(query).all())]

    def awaits_append(self, target: str, now_ms: int) -> bool:
        """Whether more will be due to a target as soon as its findings are sealed."""
        pages, appends = tables.pages, tables.appends
        unsealed = exists().where(appends.c.row_id == pages.c.awaits_row)
        here = (pages.c.target == target) & (pages.c.state == "pending")
        query = select(pages.c.seq).where(here, pages.c.awaits_until_ms > now_ms, unsealed).limit(1)
        return self._state.read(lambda connection: connection.scalar(query)) is not None

    def lately(self, target: str, now_ms: int) -> Lately:
        """What the target took within the last minute, and within the time that a storm waits."""
        table, pages, incidents = tables.deliveries, tables.pages, tables.incidents
        minute_ago_ms = now_ms - MINUTE_MS
        storm_ago_ms = minute_ago_ms - int(self._config.storm_wait_s * 1000)
        weight = 2 * pages.c.severity_rank + case((incidents.c.trip.like("tripped%"), 1), else_=0)
        taken = (table.c.target == target) & (table.c.at_ms > storm_ago_ms) & (table.c.outcome == "sent")
        counts = select(func.count(), func.sum(case((table.c.at_ms > minute_ago_ms, 1), else_=0))).where(
            taken
        )
        worst = (
            select(func.max(weight))
            .select_from(table)
            .join(pages, (pages.c.page_id == table.c.page_id) & (pages.c.target == target))
            .join(incidents, incidents.c.incident_id == pages.c.incident_id)
            .where(taken & pages.c.change.in_(HOLDABLE))
        )

        def look(connection: Connection) -> Lately:
            in_storm, in_minute = connection.execute(counts).one()
            heaviest = connection.scalar(worst)
            return Lately(int(in_minute or 0), int(in_storm), -1 if heaviest is None else int(heaviest))

        return self._state.read(look)

    def content(self, message: Message) -> Content:
        """What the message says, as it stands now."""
        pages, incidents = tables.pages, tables.incidents

        def look(connection: Connection) -> Content:
            body = connection.scalar(select(pages.c.body).where(pages.c.seq == message.seq))
            if body is not None:
                return Content(ready=msgspec.json.decode(body, type=Page), episode=None, lead=None, trip=None)
            row = connection.execute(
                select(incidents).where(incidents.c.incident_id == message.incident_id)
            ).one()
            return Content(
                ready=None,
                episode=msgspec.json.decode(row.episode, type=Episode),
                lead=msgspec.json.decode(row.lead, type=FindingRow),
                trip=row.trip,
            )

        return self._state.read(look)

    def bundle(
        self, target: str, bundled: Sequence[Message], now_ms: int, *, one_agent: bool = False
    ) -> None:
        """Put one summary into the outbox in the place of these messages; `one_agent`: all are about one."""
        worst = max(message.severity_rank for message in bundled)
        page_id = f"summary/{target}/{bundled[0].seq}-{len(bundled)}"

        def transaction(connection: Connection) -> None:
            shown = [message.incident_id for message in bundled[:20] if message.incident_id]
            episodes = _episodes(connection, shown)
            page = paging.render_summary(
                page_id,
                SEVERITIES[worst],
                [episodes[incident_id].incident for incident_id in shown if incident_id in episodes],
                live=len({message.incident_id for message in bundled if not message.resolved}),
                resolved=len({message.incident_id for message in bundled if message.resolved}),
            )
            if one_agent and shown:
                title = _title_of_one_agent(episodes[shown[0]].incident, page.severity, len(bundled))
                page = msgspec.structs.replace(page, title=title)
            summary = new_message(
                page_id=page_id,
                target=target,
                change=SUMMARY,
                incident_id=None,
                severity_rank=worst,
                now_ms=now_ms,
                body=msgspec.json.encode(page),
            )
            connection.execute(insert(tables.pages), [summary])
            table = tables.pages
            for start in range(0, len(bundled), 500):
                seqs = [message.seq for message in bundled[start : start + 500]]
                changed = update(table).where(table.c.seq.in_(seqs)).values(state="bundled", told_in=page_id)
                connection.execute(changed)

        self._state.write(transaction)

    def hurry(self, now_ms: int) -> None:
        """What waits to be told together with more is due now."""
        pages = tables.pages
        waits = (
            (pages.c.state == "pending")
            & pages.c.together.is_not(None)
            & (pages.c.attempts == 0)
            & (pages.c.next_attempt_at_ms > now_ms)
        )
        if self._state.read(lambda connection: connection.scalar(select(pages.c.seq).where(waits).limit(1))):
            soon = update(pages).where(waits).values(next_attempt_at_ms=now_ms)
            self._state.write(lambda connection: connection.execute(soon))

    def health(self, target: str) -> TargetHealth:
        """How a target fares; a new one fares well."""
        table = tables.targets
        query = select(table).where(table.c.name == target)
        row = self._state.read(lambda connection: connection.execute(query).first())
        if row is None:
            return TargetHealth()
        return TargetHealth(
            failures=row.failures,
            failing_since_ms=row.failing_since_ms,
            next_attempt_at_ms=row.next_attempt_at_ms,
            last_error=row.last_error,
        )

    def record(self, message: Message, sent: Sent, at_ms: int, elapsed_ms: int) -> None:
        """Store how an attempt went, and when the next one is due."""

        self._state.write(
            lambda connection: record_attempt(
                connection, message, sent, self._config, at_ms=at_ms, elapsed_ms=elapsed_ms
            )
        )

    def reroute(self, now_ms: int) -> int:
        """Send what waits for targets that are configured no more to those that are. Returns how many."""
        # Looked for first without the lock that writing takes: there is hardly ever one.
        if not self._state.read(lambda connection: orphans(connection, self._config, limit=1)):
            return 0
        return self._state.write(lambda connection: reroute(connection, self._config, now_ms))

    def waiting(self) -> Waiting:
        """How much waits, and how many incidents are not resolved."""
        pages, incidents = tables.pages, tables.incidents
        undelivered = select(func.count(), func.min(pages.c.created_at_ms)).where(pages.c.state == "pending")
        unresolved = (
            select(incidents.c.severity, func.count())
            .where(incidents.c.status != "resolved")
            .group_by(incidents.c.severity)
        )

        def look(connection: Connection) -> Waiting:
            appends = connection.scalar(select(func.count()).select_from(tables.appends)) or 0
            count, oldest_ms = connection.execute(undelivered).one()
            open_incidents = {row[0]: int(row[1]) for row in connection.execute(unresolved)}
            return Waiting(
                appends=appends, pages=count, oldest_page_ms=oldest_ms, open_incidents=open_incidents
            )

        return self._state.read(look)


def _title_of_one_agent(incident: Incident, severity: Severity, count: int) -> str:
    agent, environment = paging.inert(incident.agent_id), paging.inert(incident.environment)
    return f"{severity.upper()} {agent} in {environment}: and {count:,} more incidents of this agent"


def _episodes(connection: Connection, incident_ids: Sequence[str]) -> dict[str, Episode]:
    table = tables.incidents
    query = select(table.c.incident_id, table.c.episode).where(table.c.incident_id.in_(incident_ids))
    return {
        row.incident_id: msgspec.json.decode(row.episode, type=Episode) for row in connection.execute(query)
    }


def _message(row: Row[Any]) -> Message:
    return Message(
        seq=row.seq,
        page_id=row.page_id,
        target=row.target,
        change=row.change,
        incident_id=row.incident_id,
        severity_rank=row.severity_rank,
        attempts=row.attempts,
        created_at_ms=row.created_at_ms,
        resolved=bool(row.resolved),
        together=row.together,
        tripped=bool(row.tripped),
    )

"""Incidents that nobody answers: paged again, later and later, and to more people.

Takes part in a transaction that the caller began.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from sqlalchemy import Connection, insert, select, update

from pipeline.respond import tables
from pipeline.respond.batch import new_message
from pipeline.respond.config import RespondConfig
from pipeline.respond.holds import active_holds, holder
from pipeline.respond.incidents import SEVERITY_RANK
from pipeline.respond.plan import ESCALATED, HOLDABLE, REMINDER
from pipeline.respond.targets import EscalationLevel
from schemas.finding import Severity

AT_ONCE = 200
"""Incidents looked at in one round."""
LOOK_AGAIN_MS = 30_000
"""While a page waits for delivery, or is held: nobody is reminded of what they were not told."""
_MS_PER_MINUTE = 60_000


def attend_all(connection: Connection, now_ms: int) -> None:
    """Look at every unanswered incident again: the configuration may be another than when it was opened."""
    table = tables.incidents
    unanswered = (table.c.status == "open") & table.c.unanswered_since_ms.is_not(None)
    connection.execute(update(table).where(unanswered).values(attend_at_ms=now_ms))


def attend(connection: Connection, config: RespondConfig, now_ms: int) -> int:
    """Put reminders and escalations that are due into the outbox. Returns how many messages."""
    table = tables.incidents
    query = (
        select(*(column for column in table.c if column.name not in ("episode", "lead")))
        .where((table.c.attend_at_ms <= now_ms) & (table.c.status == "open"))
        .order_by(table.c.attend_at_ms)
        .limit(AT_ONCE)
        .with_for_update()
    )
    rows: Sequence[Any] = connection.execute(query).all()
    if not rows:
        return 0
    holds = active_holds(connection, config, now_ms)
    count = 0
    for row in rows:
        if holder(holds, row, row.trip) is not None:
            _set(connection, row, attend_at_ms=now_ms + LOOK_AGAIN_MS)
            continue
        one = _Unanswered(connection, row, config, now_ms)
        messages = [*one.escalations(), *one.reminders()]
        _set(connection, row, **one.values())
        if messages:
            connection.execute(insert(tables.pages), messages)
        count += len(messages)
    return count


class _Unanswered:
    """One incident, and what is due of it."""

    def __init__(self, connection: Connection, row: Any, config: RespondConfig, now_ms: int) -> None:
        self._row = row
        self._config = config
        self._now_ms = now_ms
        self._since_ms: int = row.unanswered_since_ms or now_ms
        self._levels = _levels(config, row.severity, row.environment)
        self._escalations: int = row.escalations
        self._reminders: int = row.reminders
        self._next_reminder_ms: int | None = None
        pages = tables.pages
        told = (pages.c.incident_id == row.incident_id) & pages.c.change.in_(HOLDABLE)
        self._pages = connection.execute(select(pages).where(told).order_by(pages.c.seq)).all()

    def escalations(self) -> Iterator[dict[str, Any]]:
        """Messages of the levels that are due."""
        while self._escalations < len(self._levels):
            level = self._levels[self._escalations]
            if self._level_at_ms(level) > self._now_ms:
                return
            self._escalations += 1
            for target in self._config.named_by(level.tags):
                yield self._message(ESCALATED, f"level-{self._escalations}", target)

    def reminders(self) -> Iterator[dict[str, Any]]:
        """Messages to whom it was told, where the last one is long enough ago."""
        config = self._config
        if not config.remind_after_s or self._row.severity not in config.remind_severities:
            return
        reached = [page for page in self._pages if self._reminds(page.target)]
        sent = [page for page in reached if page.state == "sent" and page.sent_at_ms is not None]
        if not reached:
            return
        if not sent or any(page.state in ("pending", "held", "bundled") for page in reached):
            self._next_reminder_ms = self._now_ms + LOOK_AGAIN_MS
            return
        due_ms = max(page.sent_at_ms for page in sent) + self._interval_ms()
        if due_ms > self._now_ms:
            self._next_reminder_ms = due_ms
            return
        self._reminders += 1
        self._next_reminder_ms = self._now_ms + self._interval_ms()
        for target in sorted({page.target for page in sent}):
            yield self._message(REMINDER, f"again-{self._reminders}", target)

    def values(self) -> dict[str, Any]:
        """What is stored of it: how often it was told, and when it is looked at next."""
        times = [self._level_at_ms(level) for level in self._levels[self._escalations :][:1]]
        if self._next_reminder_ms is not None:
            times.append(self._next_reminder_ms)
        return {
            "reminders": self._reminders,
            "escalations": self._escalations,
            "attend_at_ms": min(times, default=None),
        }

    def _interval_ms(self) -> int:
        doubled_s = self._config.remind_after_s * 2 ** min(self._reminders, 30)
        return int(min(doubled_s, self._config.remind_max_s) * 1000)

    def _level_at_ms(self, level: EscalationLevel) -> int:
        return self._since_ms + int(level.after_minutes * _MS_PER_MINUTE)

    def _reminds(self, target: str) -> bool:
        configured = self._config.target(target)
        return configured is not None and configured.effective_kind == "page"

    def _message(self, change: str, number: str, target: str) -> dict[str, Any]:
        return new_message(
            page_id=f"{self._row.incident_id}/{self._since_ms}/{number}",
            target=target,
            change=change,
            incident_id=self._row.incident_id,
            severity_rank=SEVERITY_RANK[cast("Severity", self._row.severity)],
            now_ms=self._now_ms,
        )


def _levels(config: RespondConfig, severity: str, environment: str) -> Sequence[EscalationLevel]:
    fitting = [
        level
        for level in config.escalation
        if severity in level.severities and (not level.environments or environment in level.environments)
    ]
    return sorted(fitting, key=lambda level: level.after_minutes)


def _set(connection: Connection, row: Any, **values: Any) -> None:
    table = tables.incidents
    connection.execute(update(table).where(table.c.incident_id == row.incident_id).values(**values))

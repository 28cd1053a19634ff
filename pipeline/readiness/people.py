"""Whether a page about this agent would reach a person: what was delivered of late, to whom."""

from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from pipeline.readiness.model import DAY_MS, Gate, Question, Subject, gate, listed
from pipeline.respond import tables
from pipeline.respond.engine import sqlite_file
from pipeline.respond.state import StateDatabase

QUESTION: Question = "logging and alerts"
TRIED_WITHIN_DAYS = 30


def people(subject: Subject) -> Iterator[Gate]:
    """Pages, tests of them included, that targets of critical incidents have taken."""
    respond = subject.config.respond
    wanted = respond.targets_for("critical", subject.environment)
    taken = _taken(subject, wanted)
    lacking = [name for name in wanted if name not in taken]
    yield gate(
        QUESTION,
        "pages arrive",
        bool(respond.targets) and not lacking,
        f"critical incidents go to {listed(wanted)}; nothing delivered within {TRIED_WITHIN_DAYS} days to "
        f"{listed(lacking)}",
        "auditfuse page test TARGET, and look whether a person sees it; else add [[respond.targets]]",
    )


def _taken(subject: Subject, targets: list[str]) -> set[str]:
    """The targets that have taken a page of late."""
    file = sqlite_file(subject.config.state)
    if file is not None and not file.exists():
        return set()
    table = tables.deliveries
    since_ms = subject.now_ms - TRIED_WITHIN_DAYS * DAY_MS
    query = (
        select(table.c.target, func.count())
        .where(table.c.target.in_(targets) & (table.c.outcome == "sent") & (table.c.at_ms >= since_ms))
        .group_by(table.c.target)
    )

    def look(connection: Connection) -> set[str]:
        return {str(row[0]) for row in connection.execute(query)}

    state = StateDatabase(subject.config.state, subject.config.respond)
    try:
        return state.read(look)
    finally:
        state.close()

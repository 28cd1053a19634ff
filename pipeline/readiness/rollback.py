"""Rollback: a version to go back to, a switch that was tried, people who have lifted a trip before."""

from collections.abc import Iterator
from typing import cast

from pipeline.killswitch.drill import last_good_drill, overdue
from pipeline.readiness.model import DAY_MS, Gate, Question, Subject, gate, listed

QUESTION: Question = "rollback"
REHEARSED_WITHIN_DAYS = 90
PREVIOUS_EVENTS = 100
"""Events of the version before that must be on record: one that hardly ran is none to go back to."""


def rollback(subject: Subject) -> Iterator[Gate]:
    """The previous version, the drill, the reset."""
    yield _previous(subject)
    yield _drill(subject)
    yield _reset(subject)


def _previous(subject: Subject) -> Gate:
    versions = cast(
        "list[tuple[str, int, str]]",
        subject.connection.execute(
            "SELECT agent_version, count(*), strftime(max(end_time), '%Y-%m-%d') FROM events "
            "WHERE agent_id = ? AND environment = ? AND bound AND agent_version IS NOT NULL "
            "GROUP BY 1 ORDER BY min(end_time) DESC",
            [subject.agent, subject.environment],
        ).fetchall(),
    )
    before = [one for one in versions[1:] if one[1] >= PREVIOUS_EVENTS]
    shown = [f"{version} ({events:,} events until {until})" for version, events, until in before]
    return gate(
        QUESTION,
        "the version before is known",
        bool(before),
        f"runs {versions[0][0] if versions else 'no version'}; before: {listed(shown)}",
        "send agent_version, and keep the version before ready to deploy",
    )


def _drill(subject: Subject) -> Gate:
    switch = subject.config.killswitch
    last = last_good_drill(switch.journal)
    days = "never" if last is None else f"{(subject.now_ms - last.at_ms) / DAY_MS:,.0f} days ago"
    return gate(
        QUESTION,
        "the kill switch was drilled",
        overdue(last, switch, subject.now_ms) is None,
        f"last good drill: {days}",
        "auditfuse killswitch drill",
    )


def _reset(subject: Subject) -> Gate:
    row = subject.connection.execute(
        "SELECT count(*), strftime(max(ordered_at), '%Y-%m-%d') FROM killswitch "
        "WHERE command = 'reset_approval' AND ordered_at >= make_timestamp(?)",
        [(subject.now_ms - REHEARSED_WITHIN_DAYS * DAY_MS) * 1000],
    ).fetchone()
    count, latest = cast("tuple[int, str | None]", row)
    return gate(
        QUESTION,
        "two people have lifted a trip",
        count > 0,
        f"{count} resets by two people in {REHEARSED_WITHIN_DAYS} days, the latest on {latest or 'no day'}",
        "rehearse it on a test agent: auditfuse killswitch trip, reset, reset --approve",
    )

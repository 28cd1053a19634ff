"""Logging and alerts: what arrives, whether it is redacted, whether detectors watch."""

import math
from collections.abc import Iterator
from typing import Any, cast

from pipeline.audit.arrivals import agent_fields
from pipeline.audit.query import Query
from pipeline.detect.listing import listed as detectors_listed
from pipeline.readiness.model import Gate, Question, Subject, gate, listed

QUESTION: Question = "logging and alerts"
NEEDED = (
    "trace_id",
    "session_id",
    "agent_version",
    "action",
    "action_kind",
    "target",
    "status",
    "input",
    "output",
)
"""Fields without which a step cannot be retold."""
ENOUGH = 0.9


def watching(subject: Subject) -> Iterator[Gate]:
    """Fields, redaction, detectors, learning."""
    yield _fields(subject)
    yield _redacted(subject)
    yield _armed(subject)
    yield _learnt(subject)


def _fields(subject: Subject) -> Gate:
    needs = {one.name: one.needs for one in detectors_listed(subject.config.detect) if one.looks}
    arriving = [
        one
        for one in agent_fields(Query(subject.connection), needs)
        if (one.agent_id, one.environment) == (subject.agent, subject.environment) and one.bound
    ]
    poor = {
        f"{name} {share or 0:.0%}"
        for one in arriving
        for name in NEEDED
        if (share := one.fields.get(name)) is not None and share < ENOUGH
    }
    blind = {detector for one in arriving for detector in one.blind}
    return gate(
        QUESTION,
        "its steps can be retold",
        bool(arriving) and not poor and not blind,
        f"{sum(one.events for one in arriving):,} events from bound sources; fields that often lack: "
        f"{listed(sorted(poor))}; blind detectors: {listed(sorted(blind))}",
        "send the fields (docs/events.md), from a source bound to it; auditfuse sources has the whole list",
    )


def _redacted(subject: Subject) -> Gate:
    rules = subject.config.redaction
    events, redacted = cast(
        "tuple[int, int]",
        subject.one("SELECT count(*), count(*) FILTER (cardinality(redactions) > 0) FROM seen"),
    )
    return gate(
        QUESTION,
        "redaction is on, names included",
        rules.enabled and rules.names != "off",
        f"enabled: {rules.enabled}, names: {rules.names}; {redacted:,} of {events:,} events had any",
        "set redaction.enabled and redaction.names",
    )


def _armed(subject: Subject) -> Gate:
    detectors = detectors_listed(subject.config.detect)
    watching_now = [one.name for one in detectors if one.looks and not one.shadow]
    quiet = [one.name for one in detectors if one.looks and one.shadow]
    idle = [one.name for one in detectors if not one.looks]
    return gate(
        QUESTION,
        "detectors are armed",
        not quiet and not [one for one in detectors if not one.enabled],
        f"{len(watching_now)} look; in shadow: {listed(quiet)}; not looking: {listed(idle)}",
        "take them out of shadow or enable them in [detect]; those without a rule need one in the policy",
    )


def _learnt(subject: Subject) -> Gate:
    statistics: list[Any] = [
        statistic
        for name in type(subject.config.detect).model_fields
        if (statistic := getattr(getattr(subject.config.detect, name), "statistic", None)) is not None
    ]
    needed_minutes = max(
        (max(one.learning_minutes, 60 * one.learning_hours) for one in statistics), default=0
    )
    first = subject.connection.execute(
        "SELECT epoch_ms(min(end_time)) FROM events WHERE agent_id = ? AND environment = ? AND bound",
        [subject.agent, subject.environment],
    ).fetchone()
    age_minutes = (subject.now_ms - first[0]) / 60_000 if first and first[0] else 0.0
    return gate(
        QUESTION,
        "detectors are past learning",
        age_minutes >= needed_minutes,
        f"first seen {age_minutes / 1_440:,.1f} days ago; the longest takes {needed_minutes / 1_440:,.1f}",
        f"wait {math.ceil((needed_minutes - age_minutes) / 60)} hours more: fixed limits watch meanwhile",
    )

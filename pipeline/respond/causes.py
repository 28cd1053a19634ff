"""The likeliest causes of an incident: what changed shortly before, or fails for others too. Pure.

A guess that is ranked, never a verdict: each cause says what it rests on and has a query that shows it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

CauseKind = Literal[
    "version", "configuration", "model", "dependency", "target", "tool", "principal", "credential"
]
SHOWN = 3
NEW_WITHIN_MS = 2 * 3_600_000
"""A value counts as new that was first seen at most so long before the first hit."""
HALVED_MS = 30 * 60_000
"""A change explains half as much for each so long that passed before the first hit."""
KNOWN_ROWS = 20
"""With fewer rows before it, everything about an agent is new and nothing is a change."""
MIN_SHARE = 0.2
"""What carries a smaller share of the hits does not explain them."""
FAILS_FOR = 0.5
"""A dependency fails for another agent where so much of what that agent asked of it fails …"""
FAILED_CALLS = 3
"""… and at least so many calls."""
_KINDS: Mapping[str, tuple[CauseKind, str, float]] = {
    "agent_version": ("version", "new version {value} of the agent", 1.0),
    "config_version": ("configuration", "new configuration {value}", 1.0),
    "model": ("model", "new model {value}", 0.95),
    "credential_id": ("credential", "new credential {value}", 0.9),
    "principal": ("principal", "new principal {value}", 0.9),
    "target": ("target", "new target {value}", 0.8),
    "action": ("tool", "new tool {value}", 0.75),
}
"""Column → kind, words, and how readily it is believed: of two that came together, the deployment first."""
COLUMNS = tuple(_KINDS)
SHARED_COLUMNS = {"target": "target", "model": "model", "action": "tool"}
"""What agents may share, the most telling first."""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that may be why."""

    kind: CauseKind
    what: str
    """In a few words, with the value as it is stored: redacted, and still text that an agent may have
    chosen."""
    at_ms: int
    """When it was first seen."""
    evidence: str
    """What it rests on, with numbers."""
    sql: str
    """A query that shows it."""
    weight: float
    """0 to 1; for the order alone."""


class Value(NamedTuple):
    """A value of one column among an agent's rows."""

    column: str
    value: str
    first_ms: int
    rows: int
    hits: int
    """Rows from the first hit on that are hits."""


class Shared(NamedTuple):
    """How one dependency fares for the other agents of the environment, from shortly before the first hit
    on."""

    column: str
    value: str
    hits: int
    """Hits of the agent in question at it."""
    calling: int
    failing: int
    """Other agents that call it, and those of them for which it fails."""
    calls: int
    failed: int
    first_failed_ms: int
    earlier_share: float
    """Share of their calls that failed in the hour before."""


def rank(
    values: Sequence[Value],
    shared: Sequence[Shared],
    *,
    onset_ms: int,
    hits: int,
    rows_before: Mapping[str, Sequence[int]],
    whose: str,
    others: str,
) -> list[Cause]:
    """The likeliest three, best first.

    `hits` is how many rows are to be explained, the first of them at `onset_ms`; `rows_before` has for each
    column the sorted times of its first rows (at most KNOWN_ROWS); `whose` and `others` are SQL conditions.
    """
    if hits <= 0:
        return []
    found = [
        *_changes(values, onset_ms=onset_ms, hits=hits, rows_before=rows_before, whose=whose),
        *_outages(shared, hits=hits, others=others),
    ]
    return sorted(found, key=lambda cause: (-cause.weight, -cause.at_ms, cause.what))[:SHOWN]


def _changes(
    values: Iterable[Value],
    *,
    onset_ms: int,
    hits: int,
    rows_before: Mapping[str, Sequence[int]],
    whose: str,
) -> Iterable[Cause]:
    for one in values:
        kind, words, belief = _KINDS[one.column]
        share = one.hits / hits
        gap_ms = onset_ms - one.first_ms
        earlier = rows_before.get(one.column, ())
        is_known = len(earlier) >= KNOWN_ROWS and earlier[KNOWN_ROWS - 1] < one.first_ms
        if not is_known or share < MIN_SHARE or not 0 <= gap_ms <= NEW_WITHIN_MS:
            continue
        yield Cause(
            kind=kind,
            what=words.format(value=one.value),
            at_ms=one.first_ms,
            evidence=f"first seen {_before(gap_ms)}; in {_share(one.hits, hits)} of what was found",
            sql=_query(f"{whose} and {one.column} = {quoted(one.value)}"),
            weight=belief * share * 0.5 ** (gap_ms / HALVED_MS),
        )


def _outages(shared: Iterable[Shared], *, hits: int, others: str) -> Iterable[Cause]:
    """At most one: a tool that fails because its target does is told as the target."""
    best: Cause | None = None
    for one in shared:
        share = one.hits / hits
        if one.failing == 0 or share < MIN_SHARE or one.earlier_share >= FAILS_FOR:
            continue
        # Two others that fail at the same place at the same time are hardly a chance.
        belief = 0.8 + 0.2 * one.failing / one.calling if one.failing > 1 else 0.6
        weight = share * belief * (1 - one.earlier_share)
        if best is None or weight > best.weight:
            agents = "1 other agent" if one.calling == 1 else f"{one.failing} of {one.calling} other agents"
            best = Cause(
                kind="dependency",
                what=f"{SHARED_COLUMNS[one.column]} {one.value} fails for {agents} too",
                at_ms=one.first_failed_ms,
                evidence=(
                    f"{one.failed:,} of their {one.calls:,} calls failed, {one.earlier_share:.0%} in the "
                    f"hour before; {_share(one.hits, hits)} of what was found is there"
                ),
                sql=_query(f"{others} and {one.column} = {quoted(one.value)} and outcome <> 'ok'"),
                weight=weight,
            )
    return [best] if best else []


def quoted(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _query(condition: str) -> str:
    return f"select * from events where {condition} order by end_time limit 100"  # noqa: S608 (quoted, for people)


def _share(part: int, whole: int) -> str:
    return "all" if part >= whole else f"{part / whole:.0%}"


def _before(gap_ms: int) -> str:
    if gap_ms < 60_000:
        return f"{gap_ms // 1000} s before it began" if gap_ms >= 1000 else "as it began"
    return f"{gap_ms // 60_000} min before it began"

"""What to send now, and how long to wait after a failure. Pure."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from pipeline.respond.config import RespondConfig

SUMMARY = "summary"
DEAD_MAN = "dead_man"
TEST = "test"
NOTICE = "notice"
REMINDER = "reminder"
ESCALATED = "escalated"
UNANSWERED = (REMINDER, ESCALATED)
"""Told while nobody answers; of no use once somebody has."""
HOLDABLE = ("opened", "reopened", "raised", *UNANSWERED)
"""What is told of an incident that goes on: silences hold it."""
UPDATES = ("acknowledged", "resolved")
"""What is told to those who were paged, so that their alert follows."""
MINUTE_MS = 60_000
STORM_SHARE = 0.5
"""Of a minute's pages: more incidents than that at a time are read by nobody one by one."""
STORM_LEADERS = 2
"""Pages that a storm begins with."""
STORM_RESERVE = 1
"""Kept for what turns out to be worse than all the rest."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One page on its way to one target."""

    seq: int
    page_id: str
    target: str
    change: str
    incident_id: str | None
    severity_rank: int
    attempts: int
    created_at_ms: int
    resolved: bool
    """The incident is over already."""
    together: str | None = None
    """Told together with the others that have the same."""
    tripped: bool = False
    """The incident tripped the kill switch."""

    @property
    def weight(self) -> int:
        """How bad it is: by severity, and of one severity what tripped is worse."""
        return 2 * self.severity_rank + self.tripped


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one target gets now."""

    single: list[Message]
    """Each as a page of its own, in this order."""
    bundled: list[Message]
    """All in one summary, the worst first."""
    together: list[Message] = []
    """Incidents of one agent, all in one summary, before anything else is sent."""
    is_storm: bool = False
    """More is due than this: it was chosen among many."""


class Lately(NamedTuple):
    """What a target was sent not long ago."""

    in_minute: int = 0
    """Messages of the last minute."""
    in_storm: int = 0
    """Messages of the last minute and of the time that a storm waits."""
    worst: int = -1
    """The weight of the worst incident among the latter."""


def plan_round(due: Sequence[Message], lately: Lately, per_minute: int, wait_ms: int, now_ms: int) -> Plan:
    """What a target gets now, with the time in view that lies behind.

    Where more comes than half of what a minute takes, it is a storm: two pages go out at once, then only
    what is worse than everything told so far, and all the rest when the first of it has waited for
    `wait_ms`. So the few pages of a storm are not spent before its worst is known. 0: nothing waits.
    """
    budget = per_minute - lately.in_minute
    waiting = [message for message in due if message.change in HOLDABLE and not message.resolved]
    few = len(waiting) + lately.in_minute <= per_minute * STORM_SHARE
    if budget <= 0 or not wait_ms or not waiting or few:
        return plan(due, budget)
    if now_ms - min(message.created_at_ms for message in waiting) >= wait_ms:
        left = per_minute - lately.in_storm - STORM_RESERVE
        return plan(due, min(budget, max(left, 1)), company=False)
    leaders, worst = max(STORM_LEADERS - lately.in_storm, 0), lately.worst
    single = [message for message in due if message.change not in HOLDABLE and message.change not in UPDATES]
    for message in sorted(waiting, key=_urgency):
        if leaders > 0 or message.weight > worst:
            single.append(message)
            leaders, worst = leaders - 1, max(worst, message.weight)
    return Plan(single=single[:budget], bundled=[], is_storm=True)


def plan(due: Sequence[Message], budget: int, *, company: bool = True) -> Plan:
    """Share `budget` messages among what is due: the worst first, what is left over in one summary.

    `company`: first of all, several incidents of one agent become one message.

    Incidents that are over are told only in the summary, unless there is just one of them. With a
    budget of 0 nothing is sent and nothing is bundled. That somebody answered, or that it is over, comes
    after everything that is not, and is never bundled: it changes one alert.
    """
    if budget <= 0 or not due:
        return Plan(single=[], bundled=[])
    together = _first_together(due) if company else []
    if together:
        return Plan(single=[], bundled=[], together=together)
    updates = sorted((message for message in due if message.change in UPDATES), key=_urgency)
    ordered = sorted((message for message in due if message.change not in UPDATES), key=_urgency)
    single, bundled = _pages(ordered, budget)
    left = budget - len(single) - (1 if bundled else 0)
    return Plan(single=[*single, *updates[: max(left, 0)]], bundled=bundled)


def _pages(ordered: list[Message], budget: int) -> tuple[list[Message], list[Message]]:
    """What goes out on its own, and what in one summary."""
    over = [message for message in ordered if message.resolved and message.change in HOLDABLE]
    if len(over) < 2:
        over = []
    left_out = {message.seq for message in over}
    live = [message for message in ordered if message.seq not in left_out]
    if len(live) <= budget - (1 if over else 0):
        return live, over
    own = [message for message in live if message.change not in HOLDABLE]
    incidents = [message for message in live if message.change in HOLDABLE]
    keep = max(budget - 1 - len(own), 0)
    if len(incidents) - keep + len(over) < 2:
        return live[:budget], []
    single = sorted([*own, *incidents[:keep]], key=_urgency)
    return single[: budget - 1], [*incidents[keep:], *over]


def _first_together(due: Sequence[Message]) -> list[Message]:
    """The messages about one agent of which there are several, if there is such an agent."""
    groups: dict[str, list[Message]] = {}
    for message in due:
        if message.together is not None and not message.resolved:
            groups.setdefault(message.together, []).append(message)
    several = [group for group in groups.values() if len(group) > 1]
    return sorted(several[0], key=_urgency) if several else []


def backoff_ms(name: str, failures: int, config: RespondConfig) -> int:
    """The pause after the n-th failure in a row: doubling, capped, spread by a hash instead of by chance."""
    full_ms = min(config.backoff_first_s * 2 ** min(failures - 1, 30), config.backoff_max_s) * 1000
    digest = hashlib.sha256(f"{name}/{failures}".encode()).digest()
    share = int.from_bytes(digest[:4], "big") / 2**32
    return int(full_ms * (0.75 + 0.25 * share))


def probe(due: Sequence[Message]) -> list[Message]:
    """The message that tries whether a target is back: the worst of what goes on; none where all is over."""
    going_on = [message for message in due if not message.resolved]
    return sorted(going_on, key=_urgency)[:1]


def _urgency(message: Message) -> tuple[int, int, int]:
    return (-message.weight, message.attempts, message.seq)

"""What to send now, and how long to wait after a failure. Pure."""

import hashlib
from collections.abc import Sequence

import msgspec

from pipeline.respond.config import RespondConfig

SUMMARY = "summary"
DEAD_MAN = "dead_man"
TEST = "test"
MINUTE_MS = 60_000


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


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one target gets now."""

    single: list[Message]
    """Each as a page of its own, in this order."""
    bundled: list[Message]
    """All in one summary, the worst first."""


def plan(due: Sequence[Message], budget: int) -> Plan:
    """Share `budget` messages among what is due: the worst first, what is left over in one summary.

    Incidents that are over are told only in the summary, unless there is just one of them. With a
    budget of 0 nothing is sent and nothing is bundled.
    """
    if budget <= 0 or not due:
        return Plan(single=[], bundled=[])
    ordered = sorted(due, key=_urgency)
    over = [message for message in ordered if message.resolved and message.change != SUMMARY]
    if len(over) < 2:
        over = []
    left_out = {message.seq for message in over}
    live = [message for message in ordered if message.seq not in left_out]
    if len(live) <= budget - (1 if over else 0):
        return Plan(single=live, bundled=over)
    own = [message for message in live if message.change == SUMMARY or message.incident_id is None]
    incidents = [message for message in live if message.change != SUMMARY and message.incident_id is not None]
    keep = max(budget - 1 - len(own), 0)
    if len(incidents) - keep + len(over) < 2:
        return Plan(single=live[:budget], bundled=[])
    single = sorted([*own, *incidents[:keep]], key=_urgency)
    return Plan(single=single[: budget - 1], bundled=[*incidents[keep:], *over])


def backoff_ms(name: str, failures: int, config: RespondConfig) -> int:
    """The pause after the n-th failure in a row: doubling, capped, spread by a hash instead of by chance."""
    full_ms = min(config.backoff_first_s * 2 ** min(failures - 1, 30), config.backoff_max_s) * 1000
    digest = hashlib.sha256(f"{name}/{failures}".encode()).digest()
    share = int.from_bytes(digest[:4], "big") / 2**32
    return int(full_ms * (0.75 + 0.25 * share))


def _urgency(message: Message) -> tuple[int, int, int]:
    return (-message.severity_rank, message.attempts, message.seq)

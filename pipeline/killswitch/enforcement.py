"""Whether a trip has stopped what it covers: asked, enforced, not enforced or unknown. Pure.

A trip is never taken for enforced because nobody has complained: it is once every client that it covers has
said so or has lost its lease, and every other actuator has reported.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from pipeline.killswitch.leases import Counts

State = Literal["asked", "enforced", "not enforced", "unknown"]
Verdict = Literal["asked", "enforced", "not enforced", "unknown"]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What an actuator, or a finding of an action after the trip, says about a trip."""

    source: str
    """The actuator's name, or `acting_after_trip`."""
    verdict: Verdict
    detail: str = ""


class Enforcement(msgspec.Struct, frozen=True, kw_only=True):
    """One trip's enforcement. The counts are of clients, of all control hosts that are heard."""

    state: State
    why: str
    """What decided it, in plain words."""
    acknowledged: int = 0
    waiting: int = 0
    late: int = 0
    ended: int = 0
    under_way: int = 0
    reports: list[Report] = []


UNKNOWN = Enforcement(state="unknown", why="no control server answers")


def enforcement_of(counts: Counts, reports: Iterable[Report], unheard: Iterable[str]) -> Enforcement:
    """The enforcement of one trip; `unheard` names the hosts whose clients nobody can speak for now."""
    by_verdict: dict[Verdict, list[Report]] = {
        "not enforced": [],
        "unknown": [],
        "asked": [],
        "enforced": [],
    }
    for report in reports:
        by_verdict[report.verdict].append(report)
    state, why = _judge(counts, by_verdict, list(unheard))
    return Enforcement(
        state=state,
        why=why,
        reports=[report for some in by_verdict.values() for report in some],
        **msgspec.structs.asdict(counts),
    )


def _judge(counts: Counts, by_verdict: dict[Verdict, list[Report]], unheard: list[str]) -> tuple[State, str]:
    failed, asked, done = by_verdict["not enforced"], by_verdict["asked"], by_verdict["enforced"]
    if failed or counts.late:
        late = f"{_clients(counts.late)} went on for a whole lease without obeying"
        return "not enforced", f"{failed[0].source} says that it is not" if failed else late
    if unheard:
        return "unknown", f"not heard: {', '.join(unheard)}"
    if counts.waiting or asked:
        waited_for = [_clients(counts.waiting)] if counts.waiting else []
        return "asked", f"waiting for {', '.join([*waited_for, *(report.source for report in asked)])}"
    if counts.acknowledged or counts.ended or done:
        return "enforced", "all that it covers and that holds a lease obeys or has lost its lease"
    return "unknown", "no client that it covers holds a lease"


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"

"""What was recorded: sealed rows, trips, findings and verdicts, read back for a replay."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from pipeline.audit.control import read_rows
from pipeline.audit.erase.orders import ControlRows
from pipeline.audit.store import FINDINGS, Store
from pipeline.detect.model import Trip
from pipeline.detect.trips import trip_of
from pipeline.killswitch.timeline import timelines
from pipeline.respond.own_faults import is_own
from schemas.command import Command
from schemas.finding import FindingRow, IncidentRow, Verdict, WithdrawalRow


class _Kind(msgspec.Struct):
    kind: str


class Recorded(NamedTuple):
    """The `_findings` partition, read."""

    findings: dict[str, FindingRow]
    """By finding id, in the order in which they were sealed."""
    withdrawn: frozenset[str]
    """Ids of findings that were taken back."""
    verdicts: Mapping[str, Verdict]
    """By incident id: what was said of it last."""


def recorded_findings(store: Store) -> Recorded:
    """All findings that are sealed, what became of them, and what was said of their incidents."""
    findings: dict[str, FindingRow] = {}
    withdrawn: set[str] = set()
    verdicts: dict[str, Verdict] = {}
    for _, meta, _ in read_rows(store, FINDINGS):
        if meta is None:
            continue  # erased
        kind = msgspec.json.decode(meta, type=_Kind).kind
        if kind == "finding":
            row = msgspec.json.decode(meta, type=FindingRow)
            if not is_own(row.finding.detector):  # no rows lead to it, so no replay can
                findings[row.id] = row
        elif kind == "withdrawal":
            withdrawn.add(msgspec.json.decode(meta, type=WithdrawalRow).finding_id)
        elif kind == "incident":
            change = msgspec.json.decode(meta, type=IncidentRow)
            if change.verdict is not None:
                verdicts[change.incident_id] = change.verdict
    return Recorded(findings, frozenset(withdrawn), verdicts)


def recorded_commands(store: Store) -> list[Command]:
    """The commands of `_control`, in the order in which they were sealed."""
    control = ControlRows(store)
    control.refresh()
    return list(control.state.commands.values())


def trips_of(commands: Iterable[Command]) -> list[Trip]:
    """The kill switch's trips with their modes over time, by when they were served."""
    trips = map(trip_of, timelines([], {command.id: command for command in commands}))
    return sorted(trips, key=lambda trip: (trip.served_at_ms, trip.trip_id))

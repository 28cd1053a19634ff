"""What a trip forbade and when: its own mode, and what it was loosened to. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pipeline.killswitch import state
from schemas.command import Command, Mode


class Timeline(NamedTuple):
    """One trip from its command to its end."""

    trip: Command
    mode: Mode
    loosened: tuple[tuple[int, Mode], ...]
    """(when it was ordered, in ms since 1970; the mode from then on), in order; "on": lifted."""


def timelines(trips: Iterable[Command], sealed: Mapping[str, Command]) -> list[Timeline]:
    """The trips among both, in the order of their ids; what is not sealed has loosened nothing."""
    allowed = state.loosened(sealed)
    known = {trip.id: trip for trip in [*trips, *(c for c in sealed.values() if c.command == "trip")]}
    return [_timeline(known[trip_id], allowed.get(trip_id, ())) for trip_id in sorted(known)]


def _timeline(trip: Command, loosening: Iterable[tuple[Command, Mode]]) -> Timeline:
    mode = state.mode_of(trip)
    changes: list[tuple[int, Mode]] = []
    current = mode
    for command, target in sorted(loosening, key=lambda one: (one[0].at_ms, one[0].id)):
        if state.may_loosen(command, trip) and state.RANK[target] < state.RANK[current]:
            current = target
            changes.append((command.at_ms, target))
    return Timeline(trip, mode, tuple(changes))

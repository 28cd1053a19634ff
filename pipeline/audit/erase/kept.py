"""What must stay, whatever is asked: rows under a legal hold, and what is in force in `_control`.

A row of `_control` is never erased alone where others depend on it. A reset that is gone would bring its
trip back, the lifting of a hold that is gone the hold: what belongs together goes together, or stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from pipeline.audit.arrow import Table
from pipeline.audit.erase.match import PERSONAL_KINDS, Mask, Matcher
from pipeline.audit.erase.orders import ControlRows
from pipeline.audit.store import Store
from pipeline.killswitch.state import fold
from schemas.command import Command
from schemas.erasure import Hold


class Holds:
    """The legal holds in force, read anew before every entry: `_control`'s order decides."""

    def __init__(self, store: Store) -> None:
        self._rows = ControlRows(store)
        self._matchers: dict[str, Matcher] = {}

    def refresh(self) -> bool:
        """Read `_control` on; returns whether the holds in force are others than before."""
        self._rows.refresh()
        placed = in_force(self._rows.state.holds.values())
        if placed.keys() == self._matchers.keys():
            return False
        self._matchers = {
            hold: Matcher(row.scope, kinds=PERSONAL_KINDS) for hold, row in placed.items() if row.scope
        }
        return True

    @property
    def any(self) -> bool:
        """Whether any is in force, as of the last look."""
        return bool(self._matchers)

    @property
    def ids(self) -> list[str]:
        """Those in force, as of the last look."""
        return list(self._matchers)

    def mask(self, topic_id: str, table: Table) -> Mask:
        """The rows that a hold keeps."""
        kept = np.zeros(table.num_rows, np.bool_)
        for matcher in self._matchers.values():
            if matcher.covers(topic_id):
                kept |= matcher.find(topic_id, table).any
        return kept


def in_force(rows: Iterable[Hold]) -> dict[str, Hold]:
    """Hold → the row that placed it, of those that are not lifted, in the order of placing."""
    placed: dict[str, Hold] = {}
    for row in rows:
        if row.phase == "place":
            placed[row.hold] = row
        else:
            placed.pop(row.hold, None)
    return placed


class ControlChoice(NamedTuple):
    """What becomes of the rows of `_control` that are wanted, by offset."""

    gone: frozenset[int]
    """With all that belongs to them."""
    held: frozenset[int]
    in_force: frozenset[int]


def choose(rows: ControlRows, wanted: set[int], held: set[int]) -> ControlChoice:
    """Which rows of `_control` go, and which stay: of their group one is held, or in force."""
    groups = _groups(rows)
    standing = _offsets_in_force(rows)
    together = {offset: groups.get(offset, {offset}) for offset in wanted}
    in_force = frozenset(offset for offset, group in together.items() if group & standing)
    kept = frozenset(offset for offset, group in together.items() if group & held) - in_force
    gone: frozenset[int] = frozenset[int]().union(
        *(group for offset, group in together.items() if offset not in in_force | kept)
    )
    return ControlChoice(gone, kept, in_force)


def _offsets_in_force(rows: ControlRows) -> set[int]:
    commands = {command.id: command for command in rows.state.commands.values()}
    switch = fold((), commands)
    trips = {trip.command.id for trip in switch.in_force}
    holds = set(in_force(rows.state.holds.values()))
    return {offset for offset, command in rows.state.commands.items() if command.id in trips} | {
        offset for offset, hold in rows.state.holds.items() if hold.hold in holds
    }


def _groups(rows: ControlRows) -> dict[int, set[int]]:
    """By offset: the rows of which none may go without the others."""
    members: dict[str, set[int]] = {}
    groups: dict[int, set[int]] = {}
    links = [(offset, _names(command)) for offset, command in rows.state.commands.items()]
    links += [(offset, [hold.hold]) for offset, hold in rows.state.holds.items()]
    for offset, names in links:
        group = {offset}.union(*(members.get(name, set()) for name in names))
        for member in group:
            groups[member] = group
        for name in [name for name, known in members.items() if known & group] + names:
            members[name] = group
    return groups


def _names(command: Command) -> list[str]:
    return [command.id, *command.trips, *([command.request_id] if command.request_id else [])]

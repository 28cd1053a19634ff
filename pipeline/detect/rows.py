"""What needs the rows before: repeats, reused ids, and runs of errors. Whole batches at a time."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import ERROR_RUN_LENGTH
from detectors.evidence import Flags, Ints
from detectors.places import Hashes, Places

RUN_MASK = (1 << ERROR_RUN_LENGTH) - 1
RUN_ERRORS = ERROR_RUN_LENGTH // 2
PARTS = 4
"""Ids are forgotten in parts of so much of `max_ids`."""
KEPT_DAYS = 2
"""Days below that of the slowest partition whose ids are kept."""


class _Part:
    """Ids of one day, with their contents."""

    def __init__(self, day: int) -> None:
        self.day = day
        self.ids = Places()
        self.contents: Hashes = np.zeros(0, dtype=np.uint64)

    def add(self, ids: Hashes, contents: Hashes) -> None:
        places = self.ids.take(ids)
        more = self.ids.room - len(self.contents)
        if more:
            self.contents = np.concatenate([self.contents, np.zeros(more, dtype=np.uint64)])
        self.contents[places] = contents

    def look_up(self, ids: Hashes, contents: Hashes) -> tuple[Flags, Flags]:
        """(is known, is known with this content) of each."""
        places = self.ids.of(ids)
        known = places >= 0
        same = known.copy()
        same[known] = self.contents[places[known]] == contents[known]
        return known, same


class Repeats:
    """Remembers ids and content by the day of the event, so that a repeat within 24 hours is known whatever
    other partitions do, unless more than `max_ids` events came in between. Each hash has 64 bits: a million
    events collide with chance 3e-8.
    """

    def __init__(self, max_ids: int) -> None:
        self._max_part = max(1, max_ids // PARTS)
        self._parts: list[_Part] = []
        """The oldest first."""

    def mark(self, ids: Hashes, contents: Hashes, days: Ints) -> tuple[Flags, Flags]:
        """(is a repeat, has known ids with another content) of each row."""
        known, same = self._look_up(ids, contents, days)
        _, at, number = np.unique(ids, return_inverse=True, return_counts=True)
        plain = ~known & (number[at] == 1)
        repeat, reused = np.zeros(len(ids), dtype=np.bool_), np.zeros(len(ids), dtype=np.bool_)
        new: dict[tuple[int, int], int] = {}
        for row in np.flatnonzero(~plain).tolist():
            ident, content, day = int(ids[row]), int(contents[row]), int(days[row])
            before = [new[(ident, near)] for near in _near(day) if (ident, near) in new]
            if not known[row] and not before:
                new[(ident, day)] = content
            elif same[row] or content in before:
                repeat[row] = True
            else:
                # A second content under the same ids has an entry of its own.
                variant = ident ^ (content | 1)
                if self._has(variant, day) or any((variant, near) in new for near in _near(day)):
                    repeat[row] = True
                else:
                    new[(variant, day)] = content
                    reused[row] = True
        self._add(ids[plain], contents[plain], days[plain])
        if new:
            fresh = np.array([ident for ident, _ in new], dtype=np.uint64)
            self._add(fresh, np.array(list(new.values()), np.uint64), np.array([day for _, day in new]))
        return repeat, reused

    def expire(self, slowest_day: int) -> None:
        """Forget days that no partition looks at any more."""
        if any(part.day < slowest_day - KEPT_DAYS for part in self._parts):
            self._parts = [part for part in self._parts if part.day >= slowest_day - KEPT_DAYS]

    def _has(self, ident: int, day: int) -> bool:
        one = np.array([ident], dtype=np.uint64)
        return bool(self._look_up(one, one, np.array([day]))[0][0])

    def _look_up(self, ids: Hashes, contents: Hashes, days: Ints) -> tuple[Flags, Flags]:
        known, same = np.zeros(len(ids), dtype=np.bool_), np.zeros(len(ids), dtype=np.bool_)
        first, last = int(days.min()), int(days.max())
        for part in self._parts:
            if part.day < first - 1 or part.day > last + 1:
                continue
            if first == last:
                found = part.look_up(ids, contents)
                known |= found[0]
                same |= found[1]
                continue
            near = np.abs(days - part.day) <= 1
            found = part.look_up(ids[near], contents[near])
            known[near] |= found[0]
            same[near] |= found[1]
        return known, same

    def _add(self, ids: Hashes, contents: Hashes, days: Ints) -> None:
        for day in np.unique(days).tolist():
            of_day = np.flatnonzero(days == day)
            while len(of_day):
                part = self._open(day)
                room = self._max_part - len(part.ids)
                part.add(ids[of_day[:room]], contents[of_day[:room]])
                of_day = of_day[room:]

    def _open(self, day: int) -> _Part:
        """The newest part of a day, if there is room in it; the oldest of all parts goes for a new one."""
        part = next((part for part in reversed(self._parts) if part.day == day), None)
        if part is None or len(part.ids) >= self._max_part:
            part = _Part(day)
            self._parts.append(part)
            held = sum(len(one.ids) for one in self._parts)
            while held > (PARTS - 1) * self._max_part:
                held -= len(self._parts.pop(0).ids)
        return part

    def state(self) -> Any:
        """What a snapshot holds."""
        saved: list[tuple[int, bytes, bytes]] = []
        for part in self._parts:
            order = np.argsort(part.ids.hashes)
            saved.append((part.day, part.ids.hashes[order].tobytes(), part.contents[order].tobytes()))
        return saved

    def load(self, state: Iterable[Any]) -> None:
        for day, ids, contents in state:
            part = _Part(day)
            part.add(np.frombuffer(ids, dtype=np.uint64), np.frombuffer(contents, dtype=np.uint64))
            self._parts.append(part)


class ErrorRuns:
    """The last outcomes of every key in one partition, as bits: 1 failed."""

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._places = Places(max_keys)
        self._bits = np.zeros(0, dtype=np.uint32)
        self._seen = np.zeros(0, dtype=np.int64)
        """By key: when it was last seen, in batches."""
        self._batch = 0

    def mark(self, keys: Hashes, failed: Flags) -> Flags:
        """Whether each row failed together with at least half of the newest events of its key."""
        self._batch += 1
        marks = np.zeros(len(keys), dtype=np.bool_)
        if not len(self._places) and not failed.any():
            return marks
        order = np.argsort(keys, kind="stable")
        ordered, fails = keys[order], failed[order].astype(np.int64)
        first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        number = np.diff(np.r_[first, len(keys)])
        old = self._held(ordered[first])
        marks[order] = _in_run(first, number, old, fails)
        self._keep(ordered[first], _outcomes(first, number, old, fails))
        return marks

    def _held(self, keys: Hashes) -> Ints:
        places = self._places.of(keys)
        bits = np.zeros(len(keys), dtype=np.int64)
        bits[places >= 0] = self._bits[places[places >= 0]]
        return bits

    def _keep(self, keys: Hashes, bits: Ints) -> None:
        """Only keys with a failure take memory."""
        kept = (bits > 0) | (self._places.of(keys) >= 0)
        places = self._places.take(keys[kept])
        more = self._places.room - len(self._bits)
        if more:
            self._bits = np.concatenate([self._bits, np.zeros(more, dtype=np.uint32)])
            self._seen = np.concatenate([self._seen, np.zeros(more, dtype=np.int64)])
        self._bits[places], self._seen[places] = bits[kept], self._batch
        if len(self._places) > self._max_keys:
            held = self._places.held()
            oldest_first = np.lexsort((self._places.hashes[held], self._seen[held], self._bits[held] > 0))
            self._places.drop(held[oldest_first[: len(held) // 2]])

    def state(self) -> dict[str, Any]:
        """What a snapshot holds: of keys with a recent failure."""
        held = self._places.held()
        held = held[self._bits[held] > 0]
        held = held[np.argsort(self._places.hashes[held])]
        return {
            "keys": self._places.hashes[held].tobytes(),
            "bits": self._bits[held].tobytes(),
            "seen": self._seen[held].tobytes(),
            "batch": self._batch,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        keys = np.frombuffer(state["keys"], dtype=np.uint64)
        self._keep(keys, np.frombuffer(state["bits"], dtype=np.uint32).astype(np.int64))
        self._seen[self._places.of(keys)] = np.frombuffer(state["seen"], dtype=np.int64)
        self._batch = state["batch"]


def _in_run(first: Ints, number: Ints, old: Ints, fails: Ints) -> NDArray[np.bool_]:
    """Of rows in groups (`first` row, `number` of rows, `old` outcomes): failed with enough others."""
    group = np.repeat(np.arange(len(first)), number)
    at = np.arange(len(fails)) - first[group]
    so_far = np.cumsum(fails)
    before = so_far - fails
    begin = np.maximum(np.arange(len(fails)) - ERROR_RUN_LENGTH + 1, first[group])
    own = so_far - before[begin]
    earlier = old[group] & ((1 << np.maximum(ERROR_RUN_LENGTH - 1 - at, 0)) - 1)
    return (fails > 0) & (own + np.bitwise_count(earlier) >= RUN_ERRORS)


def _outcomes(first: Ints, number: Ints, old: Ints, fails: Ints) -> Ints:
    """The newest outcomes of each group as bits, the latest lowest."""
    bits = (old << np.minimum(number, ERROR_RUN_LENGTH)) & RUN_MASK
    last = first + number - 1
    for back in range(min(ERROR_RUN_LENGTH, int(number.max()))):
        has = number > back
        bits[has] |= fails[last[has] - back] << back
    return bits


def _near(day: int) -> tuple[int, ...]:
    return (day - 1, day, day + 1)

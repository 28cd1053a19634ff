"""Calls: how long they take, how many tokens they use, which actions they are, against what is pinned.

Unlike counts, these need what was learned of the minutes before: rows wait in `OpenRows` until their
minute is closed, and are then judged in time order. So findings depend on each key's minutes alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from detectors.base import Conclusion, Detector
from detectors.evidence import Ints
from detectors.key import Key
from pipeline.detect.actions import Actions
from pipeline.detect.bins import duration_bins, token_bins
from pipeline.detect.call_minute import UNNAMED, CallMinute
from pipeline.detect.call_tests import CallTest
from pipeline.detect.open_rows import CANARY, DENIED, FAILED, SCHEMA, OpenRows
from pipeline.detect.slots import Slots, rounds

MAX_NAMES = 200_000
MOST_AT_ONCE = 8192
Concluded = tuple[Detector, Conclusion]


class Calls:
    """Open rows, the actions of all keys, and the tests of calls."""

    def __init__(self, tests: list[CallTest], max_keys: int, max_rows: int) -> None:
        self._tests = tests
        self._open = OpenRows(max_rows)
        self._actions = Actions()
        self._slots = Slots(max_keys, self._grow, self._clear)
        self._keys: dict[int, Key] = {}
        self._new: list[pl.DataFrame] = []
        """Keys by hash, and those that came since the last close."""
        self._names: dict[int, str] = {}
        """Of actions and versions, by hash."""

    def add(self, rows: pl.DataFrame) -> None:
        """Take in punctual rows with derived columns."""
        if rows.is_empty() or not self._tests:
            return
        narrow = _narrow(rows)
        self._open.add(narrow.select(list(SCHEMA)))
        self._new.append(narrow.unique("key").select("key", "env", "agent", "via"))
        for hashed, named in (("action", "action_name"), ("version", "agent_version")):
            for one, name in narrow.unique(hashed).select(hashed, named).iter_rows():
                self._names.setdefault(one, name or UNNAMED)
        while len(self._names) > MAX_NAMES:
            del self._names[next(iter(self._names))]

    def close(self, before_minute: int) -> list[Concluded]:
        """Judge every minute below `before_minute`, in time order."""
        due = self._open.close(before_minute)
        if due is None:
            return []
        self._name_keys()
        concluded = self._judge(due)
        self._forget()
        return concluded

    def forget(self, environment: str, agent_id: str) -> None:
        """Forget what was learned of one agent; minutes that wait are kept."""
        self._slots.forget(environment, agent_id)

    def _judge(self, due: pl.DataFrame) -> list[Concluded]:
        columns = {name: due[name].to_numpy() for name in SCHEMA}
        begins = np.r_[True, np.diff(columns["minute"]) != 0] | np.r_[True, np.diff(columns["key"]) != 0]
        first = np.flatnonzero(begins)
        keys = [self._keys[key] for key in columns["key"][first].tolist()]
        slots, minutes = self._slots.of(keys), columns["minute"][first].astype(np.int64)
        sizes = np.diff(np.r_[first, due.height])
        concluded: list[tuple[int, Key, int, Concluded]] = []
        for groups in _pieces(rounds(slots, minutes)):
            stepped = slots[groups]
            rows = _rows_of(first[groups], sizes[groups])
            minute = CallMinute(
                slots=stepped,
                minutes=minutes[groups],
                gaps=self._slots.gaps(stepped, minutes[groups]),
                group=np.repeat(np.arange(len(groups)), sizes[groups]),
                columns={name: column[rows] for name, column in columns.items()},
                actions=self._actions,
                names=self._names,
            )
            for number, test in enumerate(self._tests):
                for position, make in test.step(minute):
                    key = keys[int(groups[position])]
                    at = int(minute.minutes[position])
                    concluded.append((at, key, number, (test.detector, make(key))))
            self._slots.last[stepped] = minute.minutes
        return [one for *_, one in sorted(concluded, key=lambda c: c[:3])]

    def _name_keys(self) -> None:
        if self._new:
            for key, *named in pl.concat(self._new).unique("key").iter_rows():
                if key not in self._keys:
                    self._keys[key] = Key(*named)
            self._new = []

    def _forget(self) -> None:
        self._slots.evict()
        if len(self._keys) > 2 * len(self._slots.slots) + MAX_NAMES:
            waiting = self._open.waiting()
            known = self._slots.slots
            self._keys = {k: key for k, key in self._keys.items() if k in waiting or key in known}

    def _grow(self, slots: int) -> None:
        self._actions.grow(slots)
        for test in self._tests:
            test.grow(slots)

    def _clear(self, slots: Ints) -> None:
        self._actions.clear(slots)
        for test in self._tests:
            test.clear(slots)

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        self._name_keys()
        return {
            "open": self._open.state(),
            "slots": self._slots.state(),
            "actions": self._actions.state(),
            "keys": [(k, *key[:3]) for k, key in self._keys.items()],
            "names": self._names,
            "tests": {test.detector.name: test.state() for test in self._tests},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self._open.load(state["open"])
        self._slots.load(state["slots"])
        self._actions.load(state["actions"])
        self._keys = {k: Key(*key) for k, *key in state["keys"]}
        self._names = dict(state["names"])
        for test in self._tests:
            test.load(state["tests"][test.detector.name])


def _pieces(found: list[Ints]) -> Iterator[Ints]:
    """The rounds, cut so that what a step takes in memory does not grow with the number of keys."""
    for groups in found:
        for start in range(0, len(groups), MOST_AT_ONCE):
            yield groups[start : start + MOST_AT_ONCE]


def _rows_of(first: Ints, sizes: Ints) -> Ints:
    """The rows of groups that begin at `first` with `sizes` rows each, one group after the other."""
    ends = np.cumsum(sizes)
    rows: Ints = np.arange(int(ends[-1])) + np.repeat(first - (ends - sizes), sizes)
    return rows


def _narrow(rows: pl.DataFrame) -> pl.DataFrame:
    """SCHEMA, and the names behind its hashes."""
    tokens = pl.sum_horizontal("input_tokens", "output_tokens").fill_null(0)
    wide = rows.select(
        "key",
        "env",
        "agent",
        "via",
        pl.col("minute").cast(pl.Int32),
        pl.coalesce("action", "operation", pl.lit(UNNAMED)).alias("action_name"),
        pl.coalesce("trace_id", "span_id").hash(4).alias("trace"),
        "agent_version",
        pl.col("agent_version").hash(5).alias("version"),
        pl.col("duration_ns").fill_null(0),
        tokens.alias("sum"),
        (
            pl.when("failed").then(FAILED).otherwise(0)
            + pl.when(pl.col("outcome") == "denied").then(DENIED).otherwise(0)
            + pl.when(pl.col("channel") == "canary").then(CANARY).otherwise(0)
        )
        .cast(pl.UInt8)
        .alias("marks"),
    )
    return wide.with_columns(
        # 0 stands for no action: see Actions.
        pl.max_horizontal(pl.col("action_name").hash(6), pl.lit(1, pl.UInt64)).alias("action"),
        pl.Series("duration", duration_bins(wide["duration_ns"].to_numpy()), pl.UInt8),
        pl.Series("tokens", token_bins(wide["sum"].to_numpy()), pl.UInt8),
    )

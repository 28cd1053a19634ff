"""Calls: how long they take, how many tokens they use, which actions they are, against what is pinned.

Unlike counts, these need what was learned of the minutes before: rows wait in `OpenRows` until their
minute is closed, and are then judged in time order. So findings depend on each key's minutes alone.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from detectors.arrays import Arrays, Column
from detectors.base import Conclusion, Detector
from detectors.evidence import Ints
from detectors.key import Key
from detectors.places import Hashes
from pipeline.detect.actions import Actions
from pipeline.detect.bins import duration_bins, token_bins
from pipeline.detect.call_minute import UNNAMED, CallMinute
from pipeline.detect.call_tests import CallTest
from pipeline.detect.model import Partition
from pipeline.detect.open_rows import CANARY, DENIED, FAILED, SCHEMA, OpenRows
from pipeline.detect.slots import NEVER, Slots, gaps, rounds
from pipeline.detect.statistics import Progress

MAX_NAMES = 200_000
Concluded = tuple[Detector, Conclusion]


class Calls:
    """Open rows, the actions of all keys, and the tests of calls."""

    def __init__(self, tests: list[CallTest], slots: Slots, max_rows: int) -> None:
        self._tests = tests
        self._open = OpenRows(max_rows)
        self._actions = Actions()
        self._last = Arrays({"minute": Column(np.int32, NEVER)})
        """Per slot the minute of its last call."""
        self._slots = slots
        slots.listen(self._grow, self._clear)
        self._origins: list[Partition] = []
        self._names: dict[int, str] = {}
        """Of actions and versions, by hash."""

    def add(self, rows: pl.DataFrame) -> None:
        """Take in punctual rows with derived columns."""
        if rows.is_empty() or not self._tests:
            return
        narrow = _narrow(rows, self._origin(rows))
        self._open.add(narrow.select(list(SCHEMA)))
        for hashed, named in (("action", "action_name"), ("version", "agent_version")):
            for one, name in narrow.unique(hashed).select(hashed, named).iter_rows():
                self._names.setdefault(one, name or UNNAMED)
        while len(self._names) > MAX_NAMES:
            del self._names[next(iter(self._names))]

    def _origin(self, rows: pl.DataFrame) -> int:
        """The number of the partition that rows are of."""
        partition = (str(rows["topic_id"][0]), int(rows["partition"][0]))
        if partition not in self._origins:
            self._origins.append(partition)
        return self._origins.index(partition)

    def close(self, before_minute: int) -> list[Concluded]:
        """Judge every minute below `before_minute`, in time order."""
        due = self._open.close(before_minute)
        return [] if due is None else self._judge(due)

    def progress(self, slots: Ints, minute: int) -> dict[str, list[Progress]]:
        """By detector how far these slots are in learning."""
        return {test.detector.name: test.progress(slots, minute) for test in self._tests}

    def waiting(self) -> Hashes:
        """The keys whose calls will be judged."""
        return self._open.waiting()

    def _judge(self, due: pl.DataFrame) -> list[Concluded]:
        columns = {name: due[name].to_numpy() for name in SCHEMA}
        begins = np.r_[True, np.diff(columns["minute"]) != 0] | np.r_[True, np.diff(columns["key"]) != 0]
        first = np.flatnonzero(begins)
        slots, minutes = self._slots.of(columns["key"][first]), columns["minute"][first].astype(np.int64)
        sizes = np.diff(np.r_[first, due.height])
        concluded: list[tuple[int, Key, int, Concluded]] = []
        for groups in rounds(slots, minutes):
            stepped, last = slots[groups], self._last["minute"]
            rows = _rows_of(first[groups], sizes[groups])
            minute = CallMinute(
                slots=stepped,
                minutes=minutes[groups],
                gaps=gaps(last[stepped], minutes[groups]),
                group=np.repeat(np.arange(len(groups)), sizes[groups]),
                columns={name: column[rows] for name, column in columns.items()},
                actions=self._actions,
                names=self._names,
                origins=self._origins,
            )
            for number, test in enumerate(self._tests):
                for position, make in test.step(minute):
                    key = self._slots.key(int(stepped[position]))
                    at = int(minute.minutes[position])
                    concluded.append((at, key, number, (test.detector, make(key))))
            last[stepped] = minute.minutes
        return [one for *_, one in sorted(concluded, key=lambda c: c[:3])]

    def _grow(self, slots: int) -> None:
        self._actions.grow(slots)
        self._last.grow(slots)
        for test in self._tests:
            test.grow(slots)

    def _clear(self, slots: Ints) -> None:
        self._actions.clear(slots)
        self._last.clear(slots)
        for test in self._tests:
            test.clear(slots)

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        return {
            "open": self._open.state(),
            "last": self._last.state(),
            "actions": self._actions.state(),
            "names": self._names,
            "origins": self._origins,
            "tests": {test.detector.name: test.state() for test in self._tests},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self._open.load(state["open"])
        self._last.load(state["last"])
        self._actions.load(state["actions"])
        self._names = dict(state["names"])
        self._origins = [(topic_id, partition) for topic_id, partition in state["origins"]]
        for test in self._tests:
            test.load(state["tests"][test.detector.name])


def _rows_of(first: Ints, sizes: Ints) -> Ints:
    """The rows of groups that begin at `first` with `sizes` rows each, one group after the other."""
    ends = np.cumsum(sizes)
    rows: Ints = np.arange(int(ends[-1])) + np.repeat(first - (ends - sizes), sizes)
    return rows


def _narrow(rows: pl.DataFrame, origin: int) -> pl.DataFrame:
    """SCHEMA, and the names behind its hashes."""
    tokens = pl.sum_horizontal("input_tokens", "output_tokens").fill_null(0)
    wide = rows.select(
        "key",
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
        pl.lit(origin, pl.UInt16).alias("origin"),
        "offset",
        "item",
    )
    return wide.with_columns(
        # 0 stands for no action: see Actions.
        pl.max_horizontal(pl.col("action_name").hash(6), pl.lit(1, pl.UInt64)).alias("action"),
        pl.Series("duration", duration_bins(wide["duration_ns"].to_numpy()), pl.UInt8),
        pl.Series("tokens", token_bins(wide["sum"].to_numpy()), pl.UInt8),
    )

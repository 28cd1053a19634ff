"""The form of rules that are violated: reported once per key, labels and hour of append time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from detectors.base import Conclusion, Watermark
from detectors.key import Key
from detectors.remembered import MAX_REMEMBERED, Remembered
from detectors.window import HOUR_MS, STEP_MS

if TYPE_CHECKING:
    import polars as pl

MAX_LABEL_CHARACTERS = 200
MAX_PER_PERIOD = 50
"""Findings of one key in one period; beyond it one more sums them up. So names that a sender makes up flood
nobody. Which ones are named then depends on arrival."""
WHOSE = ("key", "env", "agent", "via", "late", "step", "topic_id", "partition", "offset", "item")
"""Columns that every rule is given."""
OTHERS = "…"
"""The label of the finding that sums up."""


class Violation(NamedTuple):
    """What is reported once."""

    key: Key
    period: int
    labels: tuple[str, ...]


class ViolationRule(ABC):
    """Base of detectors that report a violation once a period. A subclass says in which words; the words
    depend on the labels alone, so that it does not matter which row came first.

    Bound, punctual rows on the broker's clock may trip.
    """

    labels: ClassVar[tuple[str, ...]] = ()
    """What is told apart beside (environment, agent): the tool, the scope … "" is left out."""
    period_ms: ClassVar[int] = HOUR_MS
    """How long the same violation is not reported again; an hour or a day, of append time."""

    def __init__(self) -> None:
        self._reported = Remembered[Violation]()
        self._counts: OrderedDict[tuple[Key, int], int] = OrderedDict()

    @abstractmethod
    def say(self, labels: Mapping[str, str]) -> str:
        """One line in plain words. Where there were too many different ones, the labels are "…"."""

    def condition(self, labels: Mapping[str, str]) -> str:  # noqa: ARG002 (for those who have labels)
        """SQL that picks the violating events."""
        return "true"

    def facts(self, labels: Mapping[str, str]) -> dict[str, float | int | str]:
        """Numbers and names that explain it: of the labels and the configuration."""
        return dict(labels)

    def close(self, watermark: Watermark) -> list[Conclusion]:  # noqa: ARG002 (for those who wait)
        """Nothing waits."""
        return []

    def _take(self, violation: Violation, row: str) -> Conclusion | None:
        """What a violation concludes, shown by a row identity; None where it was reported."""
        key_period = violation[:2]
        count = self._counts.get(key_period, 0)
        if count > MAX_PER_PERIOD or not self._reported.add(violation):
            return None
        self._counts[key_period] = count + 1
        while len(self._counts) > MAX_REMEMBERED:
            self._counts.popitem(last=False)
        if count == MAX_PER_PERIOD:
            violation = violation._replace(labels=(OTHERS,) * len(violation.labels))
        return self._conclusion(violation, row)

    def _conclusion(self, violation: Violation, row: str) -> Conclusion:
        start_ms = violation.period * self.period_ms
        labels = dict(zip(self.labels, violation.labels, strict=True))
        named = OTHERS not in violation.labels
        return Conclusion(
            key=violation.key,
            window=(start_ms, start_ms + self.period_ms),
            time_base="append",
            summary=self.say(labels),
            labels={name: value for name, value in labels.items() if value},
            facts=self.facts(labels),
            may_trip=violation.key.may_trip,
            severity="warning" if violation.key.late else None,
            rows=(row,),
            condition=self.condition(labels) if named else "true",
        )

    def state(self) -> Any:
        """What was reported."""
        return {
            "reported": [(*v.key, v.period, *v.labels) for v in self._reported.items],
            "counts": [(*key, period, count) for (key, period), count in self._counts.items()],
        }

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        self._reported = Remembered(
            Violation(Key(*row[:4]), row[4], tuple(row[5:])) for row in state["reported"]
        )
        self._counts = OrderedDict(((Key(*row[:4]), row[4]), row[5]) for row in state["counts"])


class RowRule(ViolationRule):
    """Base of detectors that judge each row by itself. A subclass says which rows violate."""

    looks_at: ClassVar[tuple[str, ...]] = ()
    """Columns that `violations` needs besides those of whose row it is; none: all. Fewer are faster."""

    @abstractmethod
    def violations(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that violate, with a string column `label.NAME` for each of `labels`."""

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        """What these rows prove."""
        import polars as pl

        found = self.violations(rows.select(*WHOSE, *self.looks_at) if self.looks_at else rows)
        if found.is_empty():
            return []
        names = [f"label.{name}" for name in self.labels]
        period = (pl.col("step") // (self.period_ms // STEP_MS)).alias("period")
        whose = ["env", "agent", "via", "late", "period"]
        first = (
            found.with_columns(period, pl.col(names).str.slice(0, MAX_LABEL_CHARACTERS))
            .unique([*whose, *names], keep="first", maintain_order=True)
            .sort(*whose, *names)
            .select(*whose, *names, pl.format("{}/{}/{}/{}", "topic_id", "partition", "offset", "item"))
        )
        return [
            conclusion
            for env, agent, via, late, period, *labels, row in first.iter_rows()
            if (conclusion := self._take(Violation(Key(env, agent, via, late), period, tuple(labels)), row))
        ]


def quoted(text: str) -> str:
    """A string as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"

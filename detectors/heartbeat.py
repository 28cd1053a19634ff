"""Heartbeat: in which minutes a partition could be heard at all, by rows of anybody or by idle entries.

A minute counts where the partition was heard shortly before and shortly after. So a stopped broker, or a
partition that is halted, makes nobody silent; the gap itself is known only once it has ended.
"""

from collections.abc import Iterable, Mapping
from typing import Any

PATIENCE_MINUTES = 6
"""Idle entries come at least every five minutes."""

Partition = tuple[str, int]


class Heartbeat:
    """Beats of partitions, in minutes of event time. Partitions have numbers, in the order they came."""

    def __init__(self) -> None:
        self._numbers: dict[Partition, int] = {}
        self._beats: list[set[int]] = []
        """Of each partition, those that are not passed yet."""
        self._before: list[int] = []
        """The latest that is passed."""
        self._passed = -1
        """The minute that was asked for last."""

    def number(self, partition: Partition) -> int:
        """The number of a partition; a new one gets one."""
        number = self._numbers.setdefault(partition, len(self._beats))
        if number == len(self._beats):
            self._beats.append(set())
            self._before.append(-PATIENCE_MINUTES)
        return number

    def ranks(self) -> list[int]:
        """Of each number the place of its partition among all, by name."""
        rank = {partition: place for place, partition in enumerate(sorted(self._numbers))}
        return [rank[partition] for partition in self._numbers]

    def hear(self, partition: Partition, minutes: Iterable[int]) -> None:
        """Rows ended in these minutes."""
        number = self.number(partition)
        self._beats[number].update(minute for minute in minutes if minute > self._passed)

    def hear_all(self, newest: Mapping[Partition, int | None], minute_ms: int) -> None:
        """How far the partitions have come."""
        for partition, newest_ms in newest.items():
            if newest_ms is not None:
                self.hear(partition, (newest_ms // minute_ms,))

    def alive(self, minute: int) -> list[bool]:
        """Of each partition, whether it could be heard in a minute; minutes are asked for in order."""
        self._passed, answers = minute, list[bool]()
        for number, beats in enumerate(self._beats):
            if minute in beats:
                beats.discard(minute)
                self._before[number] = minute
            latest = self._before[number]
            near = range(minute, latest + PATIENCE_MINUTES + 1)
            answers.append(latest == minute or any(next_one in beats for next_one in near))
        return answers

    def first(self) -> int | None:
        """The earliest minute that is not passed."""
        return min((min(beats) for beats in self._beats if beats), default=None)

    def state(self) -> Any:
        """What a snapshot holds."""
        partitions = [
            (*partition, sorted(self._beats[number]), self._before[number])
            for partition, number in self._numbers.items()
        ]
        return {"passed": self._passed, "partitions": partitions}

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        self._passed = state["passed"]
        for topic_id, partition, beats, before in state["partitions"]:
            number = self.number((topic_id, partition))
            self._beats[number], self._before[number] = set(beats), before

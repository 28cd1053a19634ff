"""The only pass over single rows: repeats, reused ids, and runs of errors. Plain dicts of integers."""

from collections.abc import Sequence
from typing import Any

from detectors.base import ERROR_RUN_LENGTH
from detectors.window import DAY_MS

RUN_MASK = (1 << ERROR_RUN_LENGTH) - 1
RUN_ERRORS = ERROR_RUN_LENGTH // 2
NO_IDS: dict[int, int] = {}


class Repeats:
    """Remembers ids and content in two generations of a day each, or of half of `max_ids`.

    So a repeat within 24 hours is known unless more than `max_ids` events came in between; one
    after up to 48 hours may be. Each hash has 64 bits: a million events collide with chance 3e-8.
    """

    def __init__(self, max_ids: int) -> None:
        self._half = max_ids // 2
        self.young: dict[int, int] = {}
        self.old: dict[int, int] = {}
        self.young_since_ms = 0

    def turn(self, now_ms: int) -> None:
        """Start a new generation where the young one is a day old or full."""
        if now_ms - self.young_since_ms >= DAY_MS or len(self.young) >= self._half:
            self.old, self.young, self.young_since_ms = self.young, {}, now_ms

    def mark(self, ids: Sequence[int], contents: Sequence[int]) -> tuple[list[bool], list[bool]]:
        """(is a repeat, has known ids with another content) of each row."""
        young, old = self.young, self.old
        repeat, reused = [False] * len(ids), [False] * len(ids)
        for row, (ident, content) in enumerate(zip(ids, contents, strict=True)):
            known = young.get(ident)
            if known is None:
                known = old.get(ident)
                if known is None:
                    young[ident] = content
                    continue
            if known == content:
                repeat[row] = True
                continue
            variant = ident ^ (content | 1)  # a second content under the same ids has its own entry
            if variant in young or variant in old:
                repeat[row] = True
            else:
                young[variant] = content
                reused[row] = True
        return repeat, reused

    def state(self) -> dict[str, Any]:
        return {"young": self.young, "old": self.old, "since": self.young_since_ms}

    def load(self, state: dict[str, Any]) -> None:
        self.young, self.old, self.young_since_ms = state["young"], state["old"], state["since"]


class ErrorRuns:
    """The last outcomes of every key in one partition, as bits: 1 failed."""

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self.outcomes: dict[int, int] = {}

    def mark(self, keys: Sequence[int], failed: Sequence[bool]) -> list[bool]:
        """Whether each row failed together with at least half of the newest events of its key."""
        outcomes = self.outcomes
        marks = [False] * len(keys)
        for row, (key, failure) in enumerate(zip(keys, failed, strict=True)):
            if failure:
                bits = ((outcomes.get(key, 0) << 1) | 1) & RUN_MASK
                outcomes[key] = bits
                marks[row] = bits.bit_count() >= RUN_ERRORS
            elif key in outcomes:
                bits = (outcomes[key] << 1) & RUN_MASK
                if bits:
                    outcomes[key] = bits
                else:
                    del outcomes[key]  # only keys with a recent failure take memory
        if len(outcomes) > self._max_keys:
            self.outcomes = dict(list(outcomes.items())[len(outcomes) // 2 :])
        return marks

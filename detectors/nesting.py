"""How deep spans are nested in their trace, whichever of them comes first.

Most traces are small: only counted. Once one has as many spans within others as the least limit, its spans
are taken from the newest ones, which are kept, and its tree is followed span by span.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from detectors.key import Key

if TYPE_CHECKING:
    import polars as pl

COLUMNS = (
    "trace", "own", "parent", "env", "agent", "via", "late", "session", "half_day", "topic_id", "partition",
    "offset", "item",
)  # fmt: skip
"""Of the spans within others: hashes of the trace, the span and its parent; whose it is; its row identity."""
Held = TypeVar("Held")
MERGE_FRAMES = 64
MAX_LARGE = 10_000
"""Traces that are followed; beyond it the older half is forgotten."""


class Deep(NamedTuple):
    """A span with more levels below it than the least limit."""

    key: Key
    session: str
    half_day: int
    row: str
    levels: int
    """With the span's parent, itself and those below it, up to the highest limit and one."""


class _Node(NamedTuple):
    parent: int
    whose: tuple[Any, ...]


class Nesting:
    """Bounded by spans: the oldest are forgotten."""

    def __init__(self, max_spans: int, least: int, most: int) -> None:
        """Levels of `least` and more are told, and followed up to `most`."""
        self._max_spans = max_spans
        self._least = least
        self._most = most
        self._newest: list[pl.DataFrame] = []
        self._counts: dict[int, int] = {}
        """Spans within others, by trace."""
        self._large: dict[int, None] = {}
        self._nodes: dict[int, _Node] = {}
        self._below: dict[int, int] = {}
        """By span, how many levels are known below it."""

    def add(self, spans: pl.DataFrame) -> list[Deep]:
        """Take in spans that have a parent (COLUMNS)."""
        import polars as pl

        if spans.is_empty():
            return []
        grown = self._count(spans)
        deep: list[Deep] = []
        for frame in self._newest if grown else ():
            deep += self._follow(frame.filter(pl.col("trace").is_in(grown)))
        if self._large:
            deep += self._follow(spans.filter(pl.col("trace").is_in(list(self._large))))
        self._newest.append(spans)
        if len(self._newest) >= MERGE_FRAMES:
            self._merge()
        self._limit_memory()
        return deep

    def _count(self, spans: pl.DataFrame) -> list[int]:
        """The traces that have become large."""
        import polars as pl

        counts, grown = self._counts, list[int]()
        for trace, added in spans.group_by("trace").agg(pl.len()).iter_rows():
            before = counts.get(trace, 0)
            counts[trace] = before + added
            # A chain of so many levels has one span less that has a parent.
            if before + 1 < self._least <= before + added + 1:
                self._large[trace] = None
                grown.append(trace)
        return sorted(grown)

    def _follow(self, spans: pl.DataFrame) -> Iterator[Deep]:
        for _, own, parent, *whose in spans.iter_rows():
            yield from self._link(own, _Node(parent, tuple(whose)))

    def _link(self, own: int, node: _Node) -> Iterator[Deep]:
        """Levels below only rise and are capped, so a circle of parents ends as well."""
        if own in self._nodes:
            return
        self._nodes[own] = node
        levels = min(self._below.get(own, 0) + 2, self._most)
        while True:
            if levels >= self._least:
                env, agent, via, late, session, half_day, *row = node.whose
                yield Deep(Key(env, agent, via, late), session, half_day, "/".join(map(str, row)), levels)
            if levels - 1 <= self._below.get(node.parent, 0):
                return
            self._below[node.parent] = levels - 1
            above = self._nodes.get(node.parent)
            if above is None:
                return
            node, levels = above, min(levels + 1, self._most)

    def _merge(self) -> None:
        import polars as pl

        if self._newest:
            self._newest = [pl.concat(self._newest).tail(self._max_spans)]

    def _limit_memory(self) -> None:
        self._counts = _newer_half(self._counts, self._max_spans)
        self._large = _newer_half(self._large, MAX_LARGE)
        self._nodes = _newer_half(self._nodes, self._max_spans)
        self._below = _newer_half(self._below, self._max_spans)

    def state(self) -> Any:
        """What a snapshot holds."""
        self._merge()
        newest = io.BytesIO()
        for frame in self._newest:
            frame.write_ipc(newest)
        return {
            "newest": newest.getvalue(),
            "counts": list(self._counts.items()),
            "large": list(self._large),
            "nodes": [(own, node.parent, node.whose) for own, node in self._nodes.items()],
            "below": list(self._below.items()),
        }

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        import polars as pl

        if state["newest"]:
            self._newest = [pl.read_ipc(io.BytesIO(state["newest"]))]
        self._counts, self._below = dict(state["counts"]), dict(state["below"])
        self._large = dict.fromkeys(state["large"])
        self._nodes = {own: _Node(parent, tuple(whose)) for own, parent, whose in state["nodes"]}


def _newer_half(held: dict[int, Held], limit: int) -> dict[int, Held]:
    return held if len(held) <= limit else dict(list(held.items())[len(held) // 2 :])

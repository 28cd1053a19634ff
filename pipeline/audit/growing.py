"""Immutable collections that grow cheaply: what a partition's state is made of.

Folding a million entries makes a million states; each shares almost everything with the one before.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from schemas.log_entry import SegmentRef


class IdSet:
    """An immutable set of ids: frozensets, each at least twice the next one."""

    __slots__ = ("_levels",)

    def __init__(self, levels: tuple[frozenset[str], ...] = ()) -> None:
        self._levels = levels

    def __contains__(self, one_id: str) -> bool:
        return any(one_id in level for level in self._levels)

    def __len__(self) -> int:
        return sum(map(len, self._levels))

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._levels)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdSet) and len(self) == len(other) and all(one in other for one in self)

    __hash__ = None  # pyright: ignore[reportAssignmentType] (equal sets may have other levels)

    def __or__(self, ids: Iterable[str]) -> "IdSet":
        levels, newest = list(self._levels), frozenset(ids)
        while levels and len(levels[-1]) < 2 * len(newest):
            newest |= levels.pop()
        return IdSet((*levels, newest)) if newest else self


class LiveSegments(Mapping[str, SegmentRef]):
    """Segment name → what an entry says of it, in the order of offsets. An immutable mapping: dicts, each
    at least twice the next one unless a replacement made it smaller."""

    __slots__ = ("_levels",)

    def __init__(self, levels: tuple[dict[str, SegmentRef], ...] = ()) -> None:
        self._levels = levels

    @classmethod
    def of(cls, refs: Iterable[SegmentRef]) -> "LiveSegments":
        """These segments, which are in order."""
        level = {ref.name: ref for ref in refs}
        return cls((level,)) if level else cls()

    def __getitem__(self, name: str) -> SegmentRef:
        for level in self._levels:
            if name in level:
                return level[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._levels)

    def __len__(self) -> int:
        return sum(map(len, self._levels))

    def added(self, ref: SegmentRef) -> "LiveSegments":
        """With one more behind the last."""
        levels, newest = list(self._levels), {ref.name: ref}
        while levels and len(levels[-1]) < 2 * len(newest):
            newest = levels.pop() | newest
        return LiveSegments((*levels, newest))

    def replaced(self, names: Sequence[str], outputs: Iterable[SegmentRef]) -> "LiveSegments":
        """With `outputs` in the place of `names`. Raises ValueError where those are not neighbours."""
        first, last = self._level_of(names[0]), self._level_of(names[-1])
        before: dict[str, SegmentRef] = {}
        for level in self._levels[first : last + 1]:
            before |= level
        order = list(before)
        at = order.index(names[0])
        if order[at : at + len(names)] != list(names):
            raise ValueError("not neighbours in order")
        refs = list(before.values())
        whole = {ref.name: ref for ref in chain(refs[:at], outputs, refs[at + len(names) :])}
        return LiveSegments((*self._levels[:first], whole, *self._levels[last + 1 :]))

    def _level_of(self, name: str) -> int:
        for i, level in enumerate(self._levels):
            if name in level:
                return i
        raise ValueError(f"{name} is not live")


class RetiredSegments(Mapping[str, int]):
    """Segment name → when it was replaced. An immutable mapping: one part a replacement, the oldest first."""

    __slots__ = ("_index", "_parts")

    def __init__(self, parts: tuple[tuple[int, tuple[str, ...]], ...] = ()) -> None:
        self._parts = parts
        self._index: dict[str, int] | None = None
        """Made when it is first looked into: most states are only folded on."""

    @property
    def parts(self) -> tuple[tuple[int, tuple[str, ...]], ...]:
        """`at_ms` of each replacement, and the names that it replaced."""
        return self._parts

    def __getitem__(self, name: str) -> int:
        if self._index is None:
            self._index = {one: at_ms for at_ms, names in self._parts for one in names}
        return self._index[name]

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(names for _, names in self._parts)

    def __len__(self) -> int:
        return sum(len(names) for _, names in self._parts)

    def added(self, names: Iterable[str], at_ms: int, kept_ms: int) -> "RetiredSegments":
        """With `names`, and without what was replaced `kept_ms` or more before them."""
        recent = (part for part in self._parts if part[0] > at_ms - kept_ms)
        return RetiredSegments((*recent, (at_ms, tuple(names))))

"""The logs that checkpoints cover, read along with the batches: is each entry still the one that was put into
the tree, and which entries are not covered."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256

from pipeline.audit.entries import Entries
from pipeline.audit.log import decode_entry
from pipeline.audit.store import CHECKPOINT, Store
from pipeline.audit.verify.report import Fault, Verdict
from pipeline.errors import StoreError
from schemas.log_entry import Leaves

Place = tuple[str, int]
SIGNED: Verdict = "checkpoints signed and consistent"
SHOWN_PARTITIONS = 5


class CoveredLogs:
    """One reader a log, each going on where the batch before ended."""

    def __init__(self, store: Store, faults: list[Fault]) -> None:
        self._store = store
        self._faults = faults
        self._readers: dict[Place, _Reader] = {}
        self.counts: dict[Place, int] = {}
        """(topic id, partition) → entries that the tree holds."""

    def check(self, leaves: Leaves, size: int) -> None:
        """Compare the entries with what a batch says of them, up to a tree of `size`."""
        place = (leaves.topic_id, leaves.partition)
        reader = self._readers.setdefault(place, _Reader(self._store, place))
        changed: list[int] = []
        missing: list[int] = []
        for n, expected in enumerate(leaves.hashes, leaves.first_n):
            content = reader.read(n)
            if content is None:
                missing.append(n)
            elif sha256(content).hexdigest() != expected:
                changed.append(n)
        self.counts[place] = leaves.first_n + len(leaves.hashes)
        for numbers, how in ((missing, "missing"), (changed, "changed")):
            for first, last in _runs(numbers):
                named = f"entry {first} is" if first == last else f"entries {first} to {last} are"
                text = f"{named} {how} since the checkpoint of {size:,} entries was made"
                self._faults.append(
                    Fault(verdict=SIGNED, topic_id=place[0], partition=place[1], entry=first, how=text)
                )

    def describe_open(self, covered: Mapping[Place, int]) -> str:
        """In words: how many entries are beyond `covered`, from when to when, and in which logs."""
        parts: list[tuple[int, Place]] = []
        times: list[int] = []
        for place in self._store.partitions():
            if place[0] == CHECKPOINT:
                continue
            count, first_ms, last_ms = _beyond(self._store, place, covered.get(place, 0))
            if count:
                parts.append((count, place))
                times += [first_ms, last_ms]
        if not parts:
            return "nothing is open"
        parts.sort(reverse=True)
        shown = [f"{place[0]}/{place[1]}: {count:,}" for count, place in parts[:SHOWN_PARTITIONS]]
        more = len(parts) - SHOWN_PARTITIONS
        listed = ", ".join(shown) + (f", and {more} more" if more > 0 else "")
        total = sum(count for count, _ in parts)
        return f"open: {total:,} entries from {utc(min(times))} to {utc(max(times))} ({listed})"


class _Reader:
    """Reads a log's entries in rising order; one that is missing is passed by."""

    def __init__(self, store: Store, place: Place) -> None:
        self._entries = Entries(store, *place)
        self._next = 0
        self._contents: Iterator[bytes] = iter(())

    def read(self, n: int) -> bytes | None:
        """The bytes of entry `n`, None where it is missing or its bundle is damaged."""
        if n != self._next:
            self._contents = iter(())
        self._next = n + 1
        content = next(self._contents, None)
        if content is None:
            self._contents = readable(self._entries, n)
            content = next(self._contents, None)
        return content


def readable(entries: Entries, n: int) -> Iterator[bytes]:
    """The entries from `n`, as far as they can be read: what is wrong with a bundle is told with its log."""
    with contextlib.suppress(StoreError):
        yield from entries.read_from(n)


def utc(at_ms: int | None) -> str:
    """A time as people read it."""
    if at_ms is None:
        return "an unknown time"
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def _beyond(store: Store, place: Place, first_n: int) -> tuple[int, int, int]:
    """Number of entries from `first_n`, and the times of the first and last one."""
    count, first, last = 0, b"", b""
    for content in readable(Entries(store, *place), first_n):
        first, last, count = first or content, content, count + 1
    return count, _time_ms(first), _time_ms(last)


def _time_ms(content: bytes) -> int:
    """0 where the entry cannot be read: its own verdict says so."""
    try:
        return decode_entry(content, "").at_ms
    except StoreError:
        return 0


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring numbers as (first, last)."""
    first: int | None = None
    for before, n in zip([None, *numbers], numbers, strict=False):
        if before is None or n != before + 1:
            if first is not None and before is not None:
                yield first, before
            first = n
    if first is not None:
        yield first, numbers[-1]

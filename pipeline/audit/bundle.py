"""Bundling of old log entries: 4,096 files become one, once the checkpoint tree covers them.

Making a bundle needs no claim: it is created if absent, with bytes that follow from the entries alone.
The files go on to exist for a week, and are deleted when each was compared with its line.
"""

from bisect import bisect_left
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from pipeline.audit.entries import (
    BUNDLE_ENTRIES,
    LOOK_AGAIN_S,
    Clock,
    Entries,
    boot_clock_s,
    bundle_key,
    bundle_numbers,
)
from pipeline.audit.log import PartitionLog, PartitionState, decode_entry
from pipeline.audit.store import CHECKPOINT, Store
from pipeline.errors import StoreError
from schemas.log_entry import ZERO_HASH

FILES_KEPT_MS = 7 * 86_400_000
"""The files of bundled entries are kept this long, in the log's own time."""
KNOWN_BEFORE_DELETION_S = 2 * LOOK_AGAIN_S
"""By then, everyone who acts on what it sees has looked for the bundle since it was made."""
PASS_MAX_BUNDLES = 16
LOCKED_RETRY_S = 86_400.0
_READ_ENTRIES = 128
"""So many files are read at once, where each takes a round trip."""


class BundleReport(NamedTuple):
    """What a pass did."""

    bundled: int = 0
    """Entries put into bundles."""
    deleted: int = 0
    """Files of bundled entries deleted."""


class LogBundler:
    """Bundles the entries of one log, pass after pass. One thread at a time."""

    def __init__(self, log: PartitionLog, clock_s: Clock = boot_clock_s) -> None:
        self._log = log
        self._place = (log.topic_id, log.partition)
        self._clock_s = clock_s
        self._known_s: list[float] | None = None
        """When each bundle was first seen, by number; None before the first pass."""
        self._first_kept: int | None = None
        """The first bundle of whose entries files may be left; None where that was not looked at."""

    def run_once(self, covered: int) -> BundleReport:
        """Make the bundles of entries below `covered`, delete files that are due; a bounded number of either.

        Raises StoreError where entries and bundles do not fit together (nothing is deleted), OSError.
        """
        store, state = self._log.store, self._log.state
        if self._known_s is None:
            self._known_s = [self._clock_s()] * len(bundle_numbers(store, *self._place))
        known, final = len(self._known_s), min(covered, state.next_n) // BUNDLE_ENTRIES
        for number in range(known, min(final, known + PASS_MAX_BUNDLES)):
            self._make(number)
            self._known_s.append(self._clock_s())
        made = len(self._known_s) - known
        return BundleReport(made * BUNDLE_ENTRIES, self._delete_files(state, self._known_s))

    def _make(self, number: int) -> None:
        """Create bundle `number`, or find it there with the same bytes."""
        store, first = self._log.store, number * BUNDLE_ENTRIES
        lines: list[bytes] = []
        before = Entries(store, *self._place).read(first - 1) if first else None
        previous = sha256(before).hexdigest() if before is not None else ZERO_HASH
        files = store.read_entries(*self._place, first, first + BUNDLE_ENTRIES)
        for n, content in enumerate(files, first):
            entry = decode_entry(content, f"{self._place[0]}/{self._place[1]}/{n:012d}")
            if (entry.n, entry.prev) != (n, previous):
                break
            previous = sha256(content).hexdigest()
            lines.append(content)
        if len(lines) < BUNDLE_ENTRIES:
            raise StoreError(
                f"log entry {self._place[0]}/{self._place[1]}/{first + len(lines):012d} is missing or out of "
                "place; run auditfuse verify"
            )
        key = bundle_key(store, *self._place, number)
        if not store.objects.create(key, b"\n".join([*lines, b""])):
            raise StoreError(f"the bundle {key} holds other entries than the log; run auditfuse verify")

    def _delete_files(self, state: PartitionState, known_s: list[float]) -> int:
        """Delete the files of the oldest bundle that has some, where they are due."""
        store = self._log.store
        if self._first_kept is None:
            numbers = range(len(known_s))
            self._first_kept = bisect_left(numbers, True, key=self._has_files)
        number = self._first_kept
        if number == len(known_s) or self._clock_s() - known_s[number] < KNOWN_BEFORE_DELETION_S:
            return 0
        last = (number + 1) * BUNDLE_ENTRIES - 1
        content = store.read_entry(*self._place, last)
        where = f"{self._place[0]}/{self._place[1]}/{last:012d}"
        if content is not None and state.last_ms - decode_entry(content, where).at_ms < FILES_KEPT_MS:
            return 0
        try:
            deleted = self._delete_equal(number) if content is not None else 0
        except PermissionError:
            # An object lock keeps them: that is what it is there for.
            known_s[number] = self._clock_s() + LOCKED_RETRY_S
            return 0
        self._first_kept += 1
        return deleted

    def _delete_equal(self, number: int) -> int:
        """Delete each file of a bundle's entries after comparing all of them, the last one last."""
        store, first = self._log.store, number * BUNDLE_ENTRIES
        numbers = range(first, first + BUNDLE_ENTRIES)
        lines = _lines(store, *self._place, number)
        there: list[int] = []
        for n, line, content in zip(numbers, lines, self._files(numbers), strict=True):
            if content is not None and content != line:
                raise StoreError(
                    f"log entry {self._place[0]}/{self._place[1]}/{n:012d} differs from its bundle; "
                    "run auditfuse verify"
                )
            if content is not None:
                there.append(n)
        for n in there:
            store.delete_entry(*self._place, n)
        return len(there)

    def _files(self, numbers: range) -> Iterator[bytes | None]:
        for at in range(0, len(numbers), _READ_ENTRIES):
            yield from self._log.store.read_each(*self._place, numbers[at : at + _READ_ENTRIES])

    def _has_files(self, number: int) -> bool:
        return self._log.store.read_entry(*self._place, (number + 1) * BUNDLE_ENTRIES - 1) is not None


def covered_entries(state: PartitionState, checkpoint: PartitionState) -> int:
    """How many entries of a log are final: those that the checkpoint tree covers, and of `_checkpoint`, whose
    entries make that tree, all but the last."""
    if state.topic_id == CHECKPOINT:
        return max(0, state.next_n - 1)
    return checkpoint.covered.get((state.topic_id, state.partition), 0)


def _lines(store: Store, topic_id: str, partition: int, number: int) -> list[bytes]:
    content = store.objects.read(bundle_key(store, topic_id, partition, number))
    return content.removesuffix(b"\n").split(b"\n")

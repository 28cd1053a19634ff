"""Where the entries of a partition's log lie: each in a file of its own, the old ones in bundles too.

A bundle holds 4,096 entries. Their files are deleted days later, so whoever has not looked for a bundle
within the last hour looks before it believes that an entry is absent, and before it creates one: a process
that was stopped for days cannot take a number that is taken.
"""

import re
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from pipeline.audit.store import Store
from pipeline.errors import StoreError

BUNDLE_ENTRIES = 4096
LOOK_AGAIN_S = 3600.0
Clock = Callable[[], float]
_BUNDLE = re.compile(r"(\d{12})-\d{12}\.ndjson")


def boot_clock_s() -> float:
    """Seconds of a clock that nobody sets and that, where there is one, runs while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def bundle_key(store: Store, topic_id: str, partition: int, number: int) -> str:
    """Where the bundle of the entries from number · 4,096 lies."""
    return f"{bundle_prefix(store, topic_id, partition)}/{_bundle_name(number)}"


def bundle_prefix(store: Store, topic_id: str, partition: int) -> str:
    """Where the bundles of a log lie."""
    return f"{store.log_prefix(topic_id, partition)}/bundles"


def _bundle_name(number: int) -> str:
    first = number * BUNDLE_ENTRIES
    return f"{first:012d}-{first + BUNDLE_ENTRIES - 1:012d}.ndjson"


class Entries:
    """The entries of one log by number. Not safe for use by several threads at once."""

    def __init__(self, store: Store, topic_id: str, partition: int, clock_s: Clock = boot_clock_s) -> None:
        self._store = store
        self._place = (topic_id, partition)
        self._clock_s = clock_s
        self._absent: int | None = None
        """The bundle that was looked for last, and not there."""
        self._looked_s = 0.0

    def read(self, n: int) -> bytes | None:
        """The bytes of entry `n`, None where there is none yet. Raises StoreError over a cut bundle."""
        return next(self.read_from(n), None)

    def read_from(self, n: int) -> Iterator[bytes]:
        """The bytes of the entries from `n` that are there now, in order."""
        while True:
            bundle = self._open_bundle(n)
            if bundle is not None:
                for content in _lines_from(bundle, n, self._where(n)):
                    yield content
                    n += 1
                continue
            stop = (n // BUNDLE_ENTRIES + 1) * BUNDLE_ENTRIES
            for content in self._store.read_entries(*self._place, n, stop):
                yield content
                n += 1
            if n < stop and not self._is_stale(n):
                return

    def create(self, n: int, content: bytes) -> bool:
        """Create entry `n`. True also where it already has these bytes, False where it has others.

        Raises OSError where it is not known whether it was created.
        """
        bundled = self._bundled(n)
        if bundled is not None:
            return bundled == content
        created = self._store.create_entry(*self._place, n, content)
        if created and self._is_stale(n):
            # Stopped between looking and creating, for longer than the look holds: it may be taken.
            bundled = self._bundled(n)
            if bundled is not None and bundled != content:
                self._store.delete_entry(*self._place, n)
                return False
        return created

    def confirm(self, n: int) -> None:
        """Make sure that entry `n`, if it is there, survives a power cut: who created it may have died, or
        may not yet be so far. Raises OSError."""
        content = self.read(n)
        if content is not None:
            self.create(n, content)

    def _bundled(self, n: int) -> bytes | None:
        bundle = self._open_bundle(n)
        return None if bundle is None else next(_lines_from(bundle, n, self._where(n)))

    def _is_stale(self, n: int) -> bool:
        """Whether it is not known (any more) that the bundle of entry `n` is absent."""
        return self._absent != n // BUNDLE_ENTRIES or self._clock_s() - self._looked_s >= LOOK_AGAIN_S

    def _open_bundle(self, n: int) -> BinaryIO | None:
        if not self._is_stale(n):
            return None
        looked_s = self._clock_s()
        try:
            return self._store.objects.open(bundle_key(self._store, *self._place, n // BUNDLE_ENTRIES))
        except FileNotFoundError:
            self._absent, self._looked_s = n // BUNDLE_ENTRIES, looked_s
            return None

    def _where(self, n: int) -> str:
        return f"{self._place[0]}/{self._place[1]}/bundle of {n:012d}"


def _lines_from(bundle: BinaryIO, n: int, where: str) -> Iterator[bytes]:
    """The entries of a bundle from `n` to its last one."""
    count = 0
    with bundle:
        for line in bundle:
            if count >= n % BUNDLE_ENTRIES:
                yield line.removesuffix(b"\n")
            count += 1
    if count != BUNDLE_ENTRIES:
        raise StoreError(
            f"the bundle {where} holds {count} entries, not {BUNDLE_ENTRIES}; run auditfuse verify"
        )


def bundle_numbers(store: Store, topic_id: str, partition: int) -> list[int]:
    """The bundles of a log that are there, by listing, in order."""
    names = store.objects.names(bundle_prefix(store, topic_id, partition))
    numbers = [int(match[1]) // BUNDLE_ENTRIES for match in map(_BUNDLE.fullmatch, names) if match]
    return [number for number in numbers if _bundle_name(number) in names]

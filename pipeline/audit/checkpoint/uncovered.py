"""The log entries that the checkpoint tree does not hold yet, each checked to follow what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import islice

import structlog

from pipeline.audit.entries import Entries
from pipeline.audit.log import PartitionState, decode_entry
from pipeline.audit.store import CHECKPOINT, Store
from pipeline.errors import StoreError
from schemas.log_entry import ZERO_HASH, Leaves

BATCH_MAX_LEAVES = 4096
Place = tuple[str, int]

log = structlog.get_logger()


class Uncovered:
    """Reads the logs of all partitions but `_checkpoint`, given the state of that one.

    A log whose entries do not link to what the tree holds of it is left out and told, at each
    `look_back` anew: its rewritten history is never signed. Not safe for several threads at once.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._entries: dict[Place, Entries] = {}
        self.left_out: set[Place] = set()

    def look_back(self, state: PartitionState) -> None:
        """Compare each log's last entry in the tree with what is there now."""
        self.left_out.clear()
        for place, count in state.covered.items():
            content = self.read(place, count - 1)
            if content is None:
                self._leave_out(place, f"entry {count - 1} is gone")
            elif sha256(content).hexdigest() != state.covered_hashes[place]:
                self._leave_out(place, f"entry {count - 1} was changed")

    def is_any(self, state: PartitionState) -> bool:
        """Whether there is something to put into the tree."""
        return any(next(self._linked(place, state), None) for place in self._places())

    def next_leaves(self, state: PartitionState) -> Iterator[Leaves]:
        """The leaves of the next batch, at most 4,096. Each survives a power cut, or what is signed of it
        would look like tampering. Raises OSError."""
        room = BATCH_MAX_LEAVES
        for place in self._places():
            hashes = list(islice(self._linked(place, state), room))
            if hashes:
                first_n = state.covered.get(place, 0)
                self._entries_of(place).confirm(first_n + len(hashes) - 1)
                yield Leaves(topic_id=place[0], partition=place[1], first_n=first_n, hashes=hashes)
            room -= len(hashes)
            if room <= 0:
                return

    def read(self, place: Place, n: int) -> bytes | None:
        """The bytes of entry `n` of any log, None where there is none."""
        return self._entries_of(place).read(n)

    def _linked(self, place: Place, state: PartitionState) -> Iterator[str]:
        """SHA-256 of the entries that wait, as far as each links to the one before."""
        if place in self.left_out:
            return
        previous, n = state.covered_hashes.get(place, ZERO_HASH), state.covered.get(place, 0)
        for content in self._entries_of(place).read_from(n):
            try:
                entry = decode_entry(content, f"{place[0]}/{place[1]}/{n:012d}")
            except StoreError:
                return self._leave_out(place, f"entry {n} cannot be read")
            if (entry.n, entry.prev, entry.topic_id, entry.partition) != (n, previous, *place):
                return self._leave_out(place, f"entry {n} does not link to the one before it")
            previous = sha256(content).hexdigest()
            yield previous
            n += 1

    def _leave_out(self, place: Place, how: str) -> None:
        self.left_out.add(place)
        log.error(
            "a log is not what was checkpointed, and is left out; run auditfuse verify",
            topic_id=place[0],
            partition=place[1],
            how=how,
        )

    def _entries_of(self, place: Place) -> Entries:
        if place not in self._entries:
            self._entries[place] = Entries(self._store, *place)
        return self._entries[place]

    def _places(self) -> list[Place]:
        return [place for place in self._store.partitions() if place[0] != CHECKPOINT]

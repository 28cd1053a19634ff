"""Where log entries stand in the checkpoint tree: the newest note over them, their paths to its root."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from hashlib import sha256
from typing import NamedTuple

import msgspec

from pipeline.audit import merkle
from pipeline.audit.checkpoint.note import NoteError
from pipeline.audit.checkpoint.statement import FOLDER, Checkpoint, is_note_name
from pipeline.audit.log import PartitionLog
from pipeline.audit.proof.published import Published
from pipeline.audit.store import CHECKPOINT, Store
from pipeline.errors import StoreError
from schemas.log_entry import Leaves

Place = tuple[str, int, int]
"""(topic id, partition, n): an entry's identity."""


class NotCheckpointed(StoreError):
    """No signed checkpoint covers an entry yet."""

    exit_code = 1


class Covering(NamedTuple):
    """The newest signed checkpoint. Its signatures were not checked: that is for whoever has the key."""

    note: bytes
    """The signed note's exact bytes."""
    checkpoint: Checkpoint
    entries: dict[tuple[str, int], int]
    """(topic id, partition) → how many entries of its log the tree holds."""

    @property
    def size(self) -> int:
        """Leaves of the tree."""
        return self.checkpoint.statement.size

    def require(self, entry: Published) -> None:
        """Raises NotCheckpointed where the tree does not hold `entry`."""
        if entry.n >= self.entries.get((entry.topic_id, entry.partition), 0):
            raise NotCheckpointed(
                f"no checkpoint covers entry {entry.n} of {entry.topic_id}/{entry.partition} yet: "
                "sign one with auditfuse checkpoint now, then try again"
            )


class Leaf(NamedTuple):
    """A leaf of the checkpoint tree: an entry by its identity, and the hash of its bytes."""

    topic_id: str
    partition: int
    n: int
    sha256: bytes

    @property
    def place(self) -> Place:
        """The entry's identity."""
        return self.topic_id, self.partition, self.n

    def hash(self) -> bytes:
        """The leaf hash."""
        return merkle.leaf_hash(merkle.checkpoint_leaf(*self))

    def require(self, entry_sha256: bytes) -> None:
        """Raises StoreError where this is not the hash of the entry that was checkpointed."""
        if entry_sha256 != self.sha256:
            raise StoreError(
                f"entry {self.n} of {self.topic_id}/{self.partition} is not the one that was checkpointed; "
                "run auditfuse verify"
            )


class LeafPath(NamedTuple):
    """Number of an entry's leaf, from 0, and the hashes that lead from it to the root."""

    number: int
    path: list[bytes]


class CheckpointTree:
    """The leaves of the checkpoint tree, as the batches of `_checkpoint/0` fixed them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def newest(self) -> Covering:
        """The newest signed note: of the largest tree; of two over the same tree the one that more have
        signed. Raises NotCheckpointed where there is none."""
        names = [name for name in self._store.objects.names(FOLDER) if is_note_name(name)]
        newest: tuple[tuple[int, int], bytes, Checkpoint] | None = None
        for name in reversed(names):
            if newest is not None and not name.startswith(f"{newest[0][0]:020d}-"):
                break
            content = self._store.objects.read(f"{FOLDER}/{name}")
            try:
                checkpoint = Checkpoint.parse(content)
            except NoteError:
                continue  # damaged: `auditfuse verify` names it, an older one serves here
            rank = (checkpoint.statement.size, len(checkpoint.note.signatures))
            if newest is None or rank > newest[0]:
                newest = rank, content, checkpoint
        if newest is None:
            raise NotCheckpointed("there is no checkpoint yet: sign one with auditfuse checkpoint now")
        _, note, checkpoint = newest
        entries = {
            (batch.topic_id, batch.partition): batch.first_n + len(batch.hashes)
            for batch in self._batches(checkpoint.statement.size)
        }
        return Covering(note, checkpoint, entries)

    def leaves(self, size: int) -> Iterator[Leaf]:
        """The first `size` leaves. Raises StoreError where there are fewer."""
        for batch in self._batches(size):
            for n, entry_sha256 in enumerate(batch.hashes, batch.first_n):
                yield Leaf(batch.topic_id, batch.partition, n, bytes.fromhex(entry_sha256))

    def leaf_hashes(self, size: int) -> Iterator[bytes]:
        """The hashes of the first `size` leaves. Raises StoreError where there are fewer."""
        for batch in self._batches(size):
            yield from map(merkle.leaf_hash, merkle.checkpoint_leaves(batch))

    def paths(self, covering: Covering, entries: Collection[Published]) -> dict[Place, LeafPath]:
        """Where each entry stands in the tree: two passes over the leaves.

        Raises StoreError where an entry is not the one that was checkpointed, or the leaves do not have
        the root that the note states.
        """
        indexes = self._indexes(covering.size, entries)
        nodes = {place: merkle.inclusion_nodes(index, covering.size) for place, index in indexes.items()}
        whole = merkle.Node(0, covering.size)
        wanted = {node for path in nodes.values() for node in path} | {whole}
        roots = merkle.subtree_roots(wanted, self.leaf_hashes(covering.size))
        require_root(covering, roots[whole])
        return {
            place: LeafPath(indexes[place], [roots[node] for node in path]) for place, path in nodes.items()
        }

    def _indexes(self, size: int, entries: Collection[Published]) -> dict[Place, int]:
        by_partition: dict[tuple[str, int], list[Published]] = {}
        for entry in sorted(entries, key=lambda entry: entry.n, reverse=True):
            by_partition.setdefault((entry.topic_id, entry.partition), []).append(entry)
        indexes: dict[Place, int] = {}
        first = 0
        for batch in self._batches(size):
            waiting = by_partition.get((batch.topic_id, batch.partition), [])
            while waiting and waiting[-1].n < batch.first_n + len(batch.hashes):
                entry = waiting.pop()
                at = entry.n - batch.first_n
                leaf = Leaf(*entry.place, bytes.fromhex(batch.hashes[at]))
                leaf.require(sha256(entry.content).digest())
                indexes[entry.place] = first + at
            first += len(batch.hashes)
        return indexes

    def _batches(self, size: int) -> Iterator[Leaves]:
        """What the first `size` leaves are made of. Raises StoreError where there are fewer."""
        left = size
        for entry in PartitionLog(self._store, CHECKPOINT, 0).entries_after(-1):
            for batch in entry.leaves:
                if not left:
                    return
                taken = batch.hashes[:left]
                left -= len(taken)
                yield msgspec.structs.replace(batch, hashes=taken)
        if left:
            raise StoreError(f"_checkpoint lacks {left} of {size} leaves; run auditfuse verify")


def require_root(covering: Covering, root: bytes) -> None:
    """Raises StoreError where the leaves give another root than the note states."""
    if root != covering.checkpoint.statement.root:
        raise StoreError(
            f"the leaves in _checkpoint do not have the root of checkpoint {covering.size}; "
            "run auditfuse verify"
        )

"""A skilled attacker: edits a store and recomputes all that can be recomputed without the signing key.

Row hashes, footers, Merkle roots, file names, log entries and their links, batches and tree: everything fits
again. Only the signatures cannot be made, but by another key.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from pipeline.audit import chain, merkle
from pipeline.audit.arrow import pa
from pipeline.audit.checkpoint.note import SigningKey, sign_note
from pipeline.audit.checkpoint.statement import Statement
from pipeline.audit.columns import segment_schema
from pipeline.audit.entries import Entries
from pipeline.audit.log import PartitionLog, decode_entry, encode_entry
from pipeline.audit.merkle import Frontier, checkpoint_leaves
from pipeline.audit.segment import (
    KEPT_LEVEL,
    SEALED_LEVEL,
    EventFacts,
    open_parquet,
    read_footer,
    segment_ref,
    write_parquet,
)
from pipeline.audit.store import CHECKPOINT, SegmentName, Store
from schemas.log_entry import ZERO_HASH, Leaves, LogEntry, SegmentRef

Place = tuple[str, int]
Row = dict[str, Any]


@dataclass
class _Live:
    """A live segment: its file, its reference as the log has it, and its rows."""

    file: str
    ref: SegmentRef
    rows: list[Row]


@dataclass
class Forger:
    """The store in pieces. Change `rows` and `logs`, then `write`."""

    root: Path
    store: Store = field(init=False)
    logs: dict[Place, list[LogEntry]] = field(init=False)
    live: dict[Place, list[_Live]] = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(self.root)
        self.logs = {
            place: [decode_entry(one, "") for one in Entries(self.store, *place).read_from(0)]
            for place in self.store.partitions()
        }
        self.live = {place: self._segments(place) for place in self.logs}

    def rows(self, topic_id: str, partition: int = 0) -> list[Row]:
        """Every row of a partition, in order; changing one changes the store once it is written."""
        return [row for segment in self.live[topic_id, partition] for row in segment.rows]

    def segment(self, topic_id: str, number: int) -> list[Row]:
        """The rows of a live segment, to add to or take from."""
        return self.live[topic_id, 0][number].rows

    def write(self, key: SigningKey | None) -> None:
        """Recompute everything and put it in the store's place. With a key the new trees are signed; without
        one the old notes stay where they are."""
        shutil.rmtree(self.root / "log")
        shutil.rmtree(self.root / "snapshots", ignore_errors=True)
        for place in self.logs:
            if place[0] != CHECKPOINT:
                self._write_partition(place)
        self._write_batches(key)

    def _segments(self, place: Place) -> list[_Live]:
        found: list[_Live] = []
        for ref in PartitionLog.open(self.store, *place).state.live.values():
            with self.store.open_segment(*place, ref.name) as source:
                found.append(_Live(ref.name, ref, open_parquet(source).read().to_pylist()))
        return found

    def _write_partition(self, place: Place) -> None:
        chained = _Chained(place, [row for segment in self.live[place] for row in segment.rows])
        refs: dict[str, SegmentRef] = {}
        for segment in self.live[place]:
            refs[segment.ref.name] = self._write_segment(place, segment, chained)
        previous = ZERO_HASH
        for n, entry in enumerate(self.logs[place]):
            made = self._again(place, entry, refs, chained)
            made = msgspec.structs.replace(made, n=n, prev=previous)
            self.logs[place][n] = made
            previous = self._write_entry(place, made)

    def _write_segment(self, place: Place, segment: _Live, chained: _Chained) -> SegmentRef:
        old, path = segment.ref, Path(self.store.segment_location(*place, segment.file))
        with path.open("rb") as source:
            footer = read_footer(open_parquet(source), old.name)
        ref = self._remade(place, old, chained)
        footer = msgspec.structs.replace(
            footer,
            start=ref.start,
            end=ref.end,
            prev=ref.prev,
            head=ref.head,
            rows=ref.rows,
            merkle_root=ref.merkle_root,
        )
        table = pa.Table.from_pylist(segment.rows, schema=segment_schema(place[0]))
        level = SEALED_LEVEL if footer.kind in ("seal", "append") else KEPT_LEVEL
        content = write_parquet(table, footer, level)
        facts = EventFacts(old.events, old.min_event_ms, old.max_event_ms, old.max_broker_ms)
        made = segment_ref(footer, content, facts)
        path.unlink()
        self.store.create_segment(*place, made.name, content)
        return made

    def _remade(self, place: Place, old: SegmentRef, chained: _Chained) -> SegmentRef:
        """The reference with what follows from the rows. A compacted segment's root is made of those of the
        segments that its rows were sealed in."""
        name = SegmentName.parse(old.name)
        if name is None or name.kind in ("seal", "append"):
            return chained.ref(old)
        sealed = [entry.segment for entry in self.logs[place] if entry.segment is not None]
        roots = [
            bytes.fromhex(chained.ref(one).merkle_root)
            for one in sealed
            if old.start <= one.start and one.end <= old.end
        ]
        return chained.ref(old, roots if len(roots) > 1 else None)

    def _again(
        self, place: Place, entry: LogEntry, refs: dict[str, SegmentRef], chained: _Chained
    ) -> LogEntry:
        """An entry with what it says of segments recomputed; of a file that is gone, all but its hash."""

        def made(old: SegmentRef) -> SegmentRef:
            return refs.get(old.name) or self._remade(place, old, chained)

        return msgspec.structs.replace(
            entry,
            segment=made(entry.segment) if entry.segment else None,
            inputs=[refs[name].name if name in refs else name for name in entry.inputs],
            outputs=[made(one) for one in entry.outputs],
        )

    def _write_entry(self, place: Place, entry: LogEntry) -> str:
        content = encode_entry(entry)
        assert self.store.create_entry(*place, entry.n, content)
        return sha256(content).hexdigest()

    def _write_batches(self, key: SigningKey | None) -> None:
        place = (CHECKPOINT, 0)
        batches = [entry for entry in self.logs.get(place, []) if entry.kind == "batch"]
        if key is not None:
            shutil.rmtree(self.root / "checkpoints")
        tree, previous, n = Frontier(), ZERO_HASH, 0
        covered: dict[Place, int] = {}
        for entry in self.logs.get(place, []):
            made = msgspec.structs.replace(entry, n=n, prev=previous)
            if entry.kind == "batch":
                leaves = self._leaves(entry, covered, is_last=entry is batches[-1])
                if not leaves:
                    continue
                for part in leaves:
                    tree = tree.grown(checkpoint_leaves(part))
                origin = key.name if key else entry.origin
                made = msgspec.structs.replace(
                    made, leaves=leaves, size=tree.size, root=tree.root().hex(), origin=origin
                )
                self._sign(made, key)
            previous = self._write_entry(place, made)
            n += 1

    def _leaves(self, batch: LogEntry, covered: dict[Place, int], *, is_last: bool) -> list[Leaves]:
        """What the batch covered, as far as it is still there; the last one covers all."""
        ends = {(part.topic_id, part.partition): part.first_n + len(part.hashes) for part in batch.leaves}
        if is_last:
            ends = {place: len(log) for place, log in self.logs.items() if place[0] != CHECKPOINT}
        made: list[Leaves] = []
        for place, end in sorted(ends.items()):
            first = covered.get(place, 0)
            entries = self.logs.get(place, [])[first:end]
            if entries:
                hashes = [sha256(encode_entry(entry)).hexdigest() for entry in entries]
                made.append(Leaves(topic_id=place[0], partition=place[1], first_n=first, hashes=hashes))
                covered[place] = first + len(hashes)
        return made

    def _sign(self, batch: LogEntry, key: SigningKey | None) -> None:
        if key is None or batch.size is None or batch.root is None or batch.origin is None:
            return
        statement = Statement.of(batch.origin, batch.size, bytes.fromhex(batch.root), batch.at_ms)
        path = self.root / "checkpoints" / statement.file_name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(sign_note(statement.text, [key]).encode())


class _Chained:
    """The rows of a partition, chained anew: sets `h` of each."""

    def __init__(self, place: Place, rows: list[Row]) -> None:
        self._rows = rows
        self._first = chain.first_prev(*place)
        self._leaves: list[bytes] = []
        previous = self._first
        for row in rows:
            self._leaves.append(chain.leaf(row["offset"], row["item"], _commitment(row)))
            previous = row["h"] = sha256(previous + self._leaves[-1]).digest()

    def ref(self, old: SegmentRef, roots: list[bytes] | None = None) -> SegmentRef:
        """A reference to the same offsets. What it says of the file's bytes stays."""
        at = [i for i, row in enumerate(self._rows) if old.start <= row["offset"] < old.end]
        first, last = at[0], at[-1]
        own = merkle.root(self._leaves[first : last + 1])
        return msgspec.structs.replace(
            old,
            prev=(self._rows[first - 1]["h"] if first else self._first).hex(),
            head=self._rows[last]["h"].hex(),
            rows=len(at),
            merkle_root=(merkle.root(roots) if roots else own).hex(),
        )


def _commitment(row: Row) -> bytes:
    if row["meta"] is None:
        return row["c"]
    cp = (
        row["cp"]
        if row["payload"] is None
        else chain.payload_commitment(row["salt_p"], row["payload"].encode())
    )
    return chain.row_commitment(row["salt_m"], row["meta"].encode(), cp)

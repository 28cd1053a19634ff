"""What a partition's entries add up to, and which entry is valid after which.

`fold` is pure and the only place that decides whether an entry is valid: a writer folds an entry
before it creates it, a reader folds it after reading it.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import msgspec

from pipeline.audit import chain
from pipeline.audit.growing import IdSet, LiveSegments, RetiredSegments
from pipeline.audit.merkle import Frontier, checkpoint_leaves
from pipeline.audit.store import APPEND_PARTITIONS, CHECKPOINT, CONTROL, FINDINGS, SegmentName
from pipeline.errors import StoreError
from schemas.log_entry import ZERO_HASH, EntryKind, LogEntry, SegmentKind, SegmentRef

RETIRED_KEPT_MS = 3_600_000
"""Replaced files are remembered this long, counted in the log's own time, so that a sweep tells a
file that queries may still read from one that was never published."""


class PartitionState(msgspec.Struct, frozen=True, kw_only=True):
    """What a partition's entries add up to. `live` is ordered by start."""

    topic_id: str
    partition: int
    next_n: int = 0
    last_hash: str = ZERO_HASH
    """SHA-256 (hex) of the bytes of the last entry."""
    last_ms: int = 0
    """`at_ms` of the last entry."""
    end: int = 0
    """Every offset below is accounted for; the next segment starts here."""
    head: bytes
    """The chain hash of the last row, or what stands before the first."""
    rows: int = 0
    writer: str | None = None
    epoch: int = 0
    maintenance_writer: str | None = None
    maintenance_epoch: int = 0
    live: LiveSegments = LiveSegments()
    retired: RetiredSegments = RetiredSegments()
    """Names that a compaction or erasure replaced → `at_ms` of that entry, for the last hour of them."""
    idle_until_ms: int | None = None
    """The append time of the latest idle entry, None once rows were sealed after it."""
    halted: str | None = None
    """The reason, where the partition waits for a person."""
    ids: IdSet = IdSet()
    """Append partitions: every id ever appended."""
    tree: Frontier = Frontier()
    """`_checkpoint`: the tree over all batches."""
    covered: Mapping[tuple[str, int], int] = MappingProxyType({})
    """`_checkpoint`: (topic id, partition) → the first entry that the tree does not hold yet."""
    covered_hashes: Mapping[tuple[str, int], str] = MappingProxyType({})
    """`_checkpoint`: (topic id, partition) → SHA-256 (hex) of the last entry that the tree holds."""
    origin: str | None = None
    """`_checkpoint`: the name of the checkpointed log."""

    @classmethod
    def initial(cls, topic_id: str, partition: int) -> "PartitionState":
        """The state before entry 0."""
        return cls(topic_id=topic_id, partition=partition, head=chain.first_prev(topic_id, partition))


def fold(state: PartitionState, entry: LogEntry, entry_bytes: bytes) -> PartitionState:
    """The state after `entry`. Raises StoreError, which says why, where it is not valid here."""
    if (entry.topic_id, entry.partition) != (state.topic_id, state.partition):
        raise _invalid(state, entry, "belongs to another partition")
    if entry.n != state.next_n:
        raise _invalid(state, entry, f"is numbered {entry.n}")
    if entry.prev != state.last_hash:
        raise _invalid(state, entry, "does not carry the hash of the entry before it")
    changes = _FOLDS[entry.kind](state, entry)
    return msgspec.structs.replace(
        state,
        next_n=entry.n + 1,
        last_hash=sha256(entry_bytes).hexdigest(),
        last_ms=entry.at_ms,
        **changes,
    )


_Changes = dict[str, Any]


def _invalid(state: PartitionState, entry: LogEntry, why: str) -> StoreError:
    where = f"{state.topic_id}/{state.partition}/{state.next_n:012d}"
    return StoreError(f"log entry {where} ({entry.kind}) {why}; run auditfuse verify")


def _fold_claim(state: PartitionState, entry: LogEntry) -> _Changes:
    maintenance = entry.role == "maintenance"
    if entry.role is None:
        raise _invalid(state, entry, "claims no role")
    if not maintenance and state.topic_id in (CONTROL, FINDINGS):
        raise _invalid(state, entry, "claims a partition that anyone may append to")
    latest = state.maintenance_epoch if maintenance else state.epoch
    if entry.epoch != latest + 1:
        raise _invalid(state, entry, f"claims epoch {entry.epoch} after epoch {latest}")
    if maintenance:
        return {"maintenance_writer": entry.writer, "maintenance_epoch": entry.epoch}
    return {"writer": entry.writer, "epoch": entry.epoch}


def _fold_seal(state: PartitionState, entry: LogEntry) -> _Changes:
    _require_writer(state, entry)
    return _add_segment(state, entry, "seal")


def _fold_append(state: PartitionState, entry: LogEntry) -> _Changes:
    if state.topic_id not in APPEND_PARTITIONS:
        raise _invalid(state, entry, "appends to a partition that has a writer")
    if len(set(entry.ids)) != len(entry.ids) or any(one_id in state.ids for one_id in entry.ids):
        raise _invalid(state, entry, "appends an id twice")
    changes = _add_segment(state, entry, "append")
    if entry.segment is None or len(entry.ids) != entry.segment.rows:
        raise _invalid(state, entry, "does not name the id of each of its rows")
    return {**changes, "ids": state.ids | entry.ids}


def _add_segment(state: PartitionState, entry: LogEntry, kind: SegmentKind) -> _Changes:
    segment = entry.segment
    if segment is None:
        raise _invalid(state, entry, "names no segment")
    _require_name(state, entry, segment, kind, state.epoch if kind == "seal" else 0)
    if state.halted is not None:
        raise _invalid(state, entry, "adds to a halted partition")
    if segment.start != state.end or segment.end <= segment.start or segment.rows < 1:
        raise _invalid(state, entry, f"does not start at {state.end}, where the one before ends")
    if segment.prev != state.head.hex():
        raise _invalid(state, entry, "does not chain onto the row before it")
    return {
        "end": segment.end,
        "head": bytes.fromhex(segment.head),
        "rows": state.rows + segment.rows,
        "live": state.live.added(segment),
        "idle_until_ms": None,
    }


def _fold_idle(state: PartitionState, entry: LogEntry) -> _Changes:
    _require_writer(state, entry)
    if entry.end is None or entry.idle_until_ms is None or entry.end < state.end:
        raise _invalid(state, entry, f"has no high watermark at or above {state.end}")
    if state.halted is not None:
        raise _invalid(state, entry, "says that a halted partition is idle")
    return {"end": entry.end, "idle_until_ms": entry.idle_until_ms}


def _fold_replacement(state: PartitionState, entry: LogEntry) -> _Changes:
    """Compact and erase: the outputs hold the same rows in the same place of the chain."""
    if (entry.writer, entry.epoch) != (state.maintenance_writer, state.maintenance_epoch):
        raise _invalid(state, entry, "is not by the latest maintenance claim")
    if not entry.inputs or not entry.outputs:
        raise _invalid(state, entry, "replaces nothing, or by nothing")
    kind: SegmentKind = "compact" if entry.kind == "compact" else "erase"
    for output in entry.outputs:
        _require_name(state, entry, output, kind, state.maintenance_epoch)
    try:
        live = state.live.replaced(entry.inputs, entry.outputs)
    except ValueError:
        raise _invalid(state, entry, "replaces segments that are not live, or not neighbours") from None
    if not _same_place([state.live[name] for name in entry.inputs], entry.outputs):
        raise _invalid(state, entry, "replaces segments by others that do not hold the same rows")
    return {"live": live, "retired": state.retired.added(entry.inputs, entry.at_ms, RETIRED_KEPT_MS)}


def _fold_erase(state: PartitionState, entry: LogEntry) -> _Changes:
    """A replacement that says by which erasure, and which rows and payloads are gone."""
    if entry.erasure is None or not (entry.erased_rows or entry.erased_payloads):
        raise _invalid(state, entry, "names no erasure, or nothing that it erased")
    return _fold_replacement(state, entry)


def _same_place(inputs: list[SegmentRef], outputs: list[SegmentRef]) -> bool:
    linked = all(left.end <= right.start and left.head == right.prev for left, right in pairwise(outputs))
    return (
        linked
        and (inputs[0].start, inputs[0].prev) == (outputs[0].start, outputs[0].prev)
        and (inputs[-1].end, inputs[-1].head) == (outputs[-1].end, outputs[-1].head)
        and sum(ref.rows for ref in inputs) == sum(ref.rows for ref in outputs)
    )


def _fold_halt(state: PartitionState, entry: LogEntry) -> _Changes:
    _require_writer(state, entry)
    if not entry.reason or entry.end != state.end:
        raise _invalid(state, entry, "names no reason, or another end than the partition's")
    return {"halted": entry.reason}


def _fold_gap(state: PartitionState, entry: LogEntry) -> _Changes:
    if entry.end is None or entry.end <= state.end:
        raise _invalid(state, entry, f"does not go on above {state.end}")
    return {**_fold_resume(state, entry), "end": entry.end}


def _fold_resume(state: PartitionState, entry: LogEntry) -> _Changes:
    if state.halted is None:
        raise _invalid(state, entry, "comes without a halt")
    if not entry.by or not entry.reason:
        raise _invalid(state, entry, "does not say by whom and why")
    return {"halted": None}


def _fold_batch(state: PartitionState, entry: LogEntry) -> _Changes:
    """The next leaves of the checkpoint tree, contiguous per partition."""
    _require_writer(state, entry)
    if state.topic_id != CHECKPOINT or not entry.leaves:
        raise _invalid(state, entry, "adds leaves elsewhere than to the checkpoint tree, or none")
    if entry.origin is None or (state.tree.size and entry.origin != state.origin):
        raise _invalid(state, entry, f"is for another log than {state.origin!r}")
    tree, covered, hashes = state.tree, {**state.covered}, {**state.covered_hashes}
    for leaves in entry.leaves:
        place = (leaves.topic_id, leaves.partition)
        if leaves.topic_id == CHECKPOINT or leaves.first_n != covered.get(place, 0) or not leaves.hashes:
            raise _invalid(state, entry, f"leaves out entries of {leaves.topic_id}/{leaves.partition}")
        covered[place], hashes[place] = leaves.first_n + len(leaves.hashes), leaves.hashes[-1]
        try:
            tree = tree.grown(checkpoint_leaves(leaves))
        except ValueError:
            raise _invalid(state, entry, "holds leaves that are no hashes") from None
    if (entry.size, entry.root) != (tree.size, tree.root().hex()):
        raise _invalid(state, entry, "states another size or root than its leaves give")
    return {
        "tree": tree,
        "covered": MappingProxyType(covered),
        "covered_hashes": MappingProxyType(hashes),
        "origin": entry.origin,
    }


def _require_writer(state: PartitionState, entry: LogEntry) -> None:
    if (entry.writer, entry.epoch) != (state.writer, state.epoch):
        raise _invalid(state, entry, "is not by the latest writer claim")


def _require_name(
    state: PartitionState, entry: LogEntry, segment: SegmentRef, kind: SegmentKind, epoch: int
) -> None:
    expected = SegmentName(segment.start, segment.end, epoch, kind, segment.sha256[:16])
    if segment.name != str(expected):
        raise _invalid(state, entry, "names a segment that is not called what it holds")


_FOLDS: dict[EntryKind, Callable[[PartitionState, LogEntry], _Changes]] = {
    "claim": _fold_claim,
    "seal": _fold_seal,
    "append": _fold_append,
    "idle": _fold_idle,
    "compact": _fold_replacement,
    "erase": _fold_erase,
    "halt": _fold_halt,
    "gap": _fold_gap,
    "resume": _fold_resume,
    "batch": _fold_batch,
}

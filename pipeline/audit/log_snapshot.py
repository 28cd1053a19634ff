"""Snapshots of a partition log's fold, so that opening a long log reads the newest entries only.

A cache and nothing more: verification ignores it. It counts for nothing unless the log still has the entry
it stands on, with the same bytes, and its segments chain up; then the log is folded on from there.
"""

import contextlib
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from pipeline import durable
from pipeline.audit import chain
from pipeline.audit.fold import PartitionState
from pipeline.audit.growing import IdSet, LiveSegments, RetiredSegments
from pipeline.audit.store import Store
from schemas.log_entry import SegmentRef

SNAPSHOT_EVERY_ENTRIES = 4096
_NUMBER_BYTES = 8


class _Snapshot(msgspec.Struct, frozen=True):
    layout: tuple[str, ...]
    """What a state is made of: one of another version is not read."""
    state: msgspec.Raw


_LAYOUT = (*PartitionState.__struct_fields__, *SegmentRef.__struct_fields__)


def load_snapshot(store: Store, topic_id: str, partition: int) -> PartitionState | None:
    """The state that the snapshot holds, not yet compared with the log; None where there is none, or it is
    damaged or of another version."""
    try:
        content = _path(store, topic_id, partition).read_bytes()
    except OSError:
        return None
    digest, body = content[:32], memoryview(content)[32 + _NUMBER_BYTES :]
    if sha256(memoryview(content)[32:]).digest() != digest:
        return None
    try:
        snapshot = msgspec.msgpack.decode(body, type=_Snapshot)
        if snapshot.layout != _LAYOUT:
            return None
        state = msgspec.msgpack.decode(snapshot.state, type=PartitionState, dec_hook=_grow)
    except msgspec.MsgspecError:
        return None
    belongs = (state.topic_id, state.partition) == (topic_id, partition)
    return state if belongs and _chains_up(state) else None


def save_snapshot(store: Store, state: PartitionState) -> bool:
    """Put the state in the place of the snapshot before it, unless that is nearly as new.

    Raises OSError where the directory cannot be written.
    """
    path = _path(store, state.topic_id, state.partition)
    if 0 <= state.next_n - _entries_of(path) < SNAPSHOT_EVERY_ENTRIES:
        return False
    raw = msgspec.Raw(msgspec.msgpack.encode(state, enc_hook=_plain))
    body = state.next_n.to_bytes(_NUMBER_BYTES, "big") + msgspec.msgpack.encode(_Snapshot(_LAYOUT, raw))
    durable.make_directory(path.parent)
    durable.replace_atomically(path, sha256(body).digest() + body)
    return True


def _path(store: Store, topic_id: str, partition: int) -> Path:
    name = store.log_prefix(topic_id, partition).replace("/", "-")
    return store.cache_dir / "snapshots" / f"{name}.bin"


def _entries_of(path: Path) -> int:
    """How many entries the snapshot at `path` stands on, by what it says; 0 where there is none."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return int.from_bytes(file.read(32 + _NUMBER_BYTES)[32:], "big")
    return 0


def _chains_up(state: PartitionState) -> bool:
    """Whether the live segments are the whole chain, from its first hash to the state's head."""
    prev = chain.first_prev(state.topic_id, state.partition).hex()
    for ref in state.live.values():
        if ref.prev != prev:
            return False
        prev = ref.head
    return prev == state.head.hex()


def _plain(value: Any) -> Any:
    match value:
        case LiveSegments():
            return list(value.values())
        case RetiredSegments():
            return value.parts
        case IdSet():
            return list(value)
        case _:
            return dict(value)


def _grow(wanted: type, value: Any) -> Any:
    if wanted is LiveSegments:
        return LiveSegments.of(msgspec.convert(value, list[SegmentRef]))
    if wanted is RetiredSegments:
        return RetiredSegments(msgspec.convert(value, tuple[tuple[int, tuple[str, ...]], ...]))
    if wanted is IdSet:
        return IdSet() | value
    raise NotImplementedError(wanted)

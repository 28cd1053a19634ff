"""The fold decides what is valid: every rule of the specification's table, broken once."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.audit import TOPIC_ID, claim, event_rows, seal_batches, sealed_store
from support.faults import without_disk_sync

from pipeline.audit.growing import IdSet
from pipeline.audit.log import PartitionLog, PartitionState, decode_entry, encode_entry, fold
from pipeline.audit.store import CONTROL, Store
from pipeline.errors import StoreError
from schemas.log_entry import ZERO_HASH, EntryKind, LogEntry, SegmentRef

__all__ = ["without_disk_sync"]

WRITER, OTHER = "a" * 32, "b" * 32


def ref(start: int, end: int, prev: str, *, kind: str = "seal", epoch: int = 1, head: str = "") -> SegmentRef:
    digest = sha256(f"{start}-{end}-{kind}".encode()).hexdigest()
    return SegmentRef(
        name=f"{start:020d}-{end:020d}-{epoch:010d}-{kind}-{digest[:16]}.parquet",
        sha256=digest, start=start, end=end, rows=end - start, bytes=100, prev=prev,
        head=head or sha256(f"head {end}".encode()).hexdigest(), merkle_root="00" * 32,
    )  # fmt: skip


def after(state: PartitionState, kind: str, **fields: Any) -> PartitionState:
    """The state after an entry that follows it, of the right writer and epoch unless said otherwise."""
    entry = LogEntry(
        **{
            "n": state.next_n, "prev": state.last_hash, "kind": kind, "topic_id": state.topic_id,
            "partition": state.partition, "at_ms": 1_000, "writer": WRITER, "epoch": state.epoch, **fields,
        }
    )  # fmt: skip
    return fold(state, entry, encode_entry(entry))


def claimed(topic_id: str = TOPIC_ID) -> PartitionState:
    return after(PartitionState.initial(topic_id, 0), "claim", epoch=1, role="writer")


def sealed() -> PartitionState:
    """Two segments, [0, 10) and [10, 20)."""
    state = claimed()
    for start in (0, 10):
        state = after(state, "seal", segment=ref(start, start + 10, state.head.hex()))
    return state


def maintained() -> PartitionState:
    return after(sealed(), "claim", epoch=1, role="maintenance")


def halted() -> PartitionState:
    return after(sealed(), "halt", end=20, reason="offset 20 is not held")


def appended() -> PartitionState:
    state = PartitionState.initial(CONTROL, 0)
    segment = ref(0, 2, state.head.hex(), kind="append", epoch=0)
    return after(state, "append", segment=segment, ids=["x", "y"], epoch=0)


def merged(state: PartitionState, **changes: Any) -> SegmentRef:
    live = list(state.live.values())
    first, last = live[0], live[-1]
    whole = ref(0, 20, first.prev, kind="compact", epoch=state.maintenance_epoch, head=last.head)
    return msgspec.structs.replace(whole, **changes)


def test_a_seal_moves_the_end_the_head_and_what_is_live() -> None:
    state = sealed()
    assert (state.end, state.rows, state.next_n) == (20, 20, 3)
    assert [segment.start for segment in state.live.values()] == [0, 10]
    assert state.head.hex() == list(state.live.values())[-1].head


def test_idle_may_pass_offsets_without_rows_and_the_next_seal_starts_there() -> None:
    state = after(sealed(), "idle", end=23, idle_until_ms=5_000)
    assert (state.end, state.idle_until_ms, len(state.live)) == (23, 5_000, 2)
    state = after(state, "seal", segment=ref(23, 30, state.head.hex()))
    assert (state.end, state.idle_until_ms) == (30, None)


def test_compaction_puts_its_output_in_the_place_of_its_inputs() -> None:
    state = after(maintained(), "seal", segment=ref(20, 30, sealed().head.hex()))
    inputs = list(state.live)[:2]
    output = ref(0, 20, state.live[inputs[0]].prev, kind="compact", head=state.live[inputs[1]].head)
    compacted = after(state, "compact", epoch=1, inputs=inputs, outputs=[output])
    assert [(one.start, one.end) for one in compacted.live.values()] == [(0, 20), (20, 30)]
    assert set(compacted.retired) == set(inputs)
    assert (compacted.end, compacted.head, compacted.rows) == (state.end, state.head, state.rows)


def test_replaced_files_are_remembered_for_an_hour() -> None:
    state = maintained()
    first = after(state, "compact", epoch=1, inputs=list(state.live), outputs=[merged(state)], at_ms=1_000)
    again = merged(first, name=merged(first).name.replace("0000000001-compact", "0000000002-compact"))
    second_claim = after(first, "claim", epoch=2, role="maintenance")
    soon = after(second_claim, "compact", epoch=2, inputs=list(first.live), outputs=[again], at_ms=3_600_000)
    assert len(soon.retired) == 3
    late = after(second_claim, "compact", epoch=2, inputs=list(first.live), outputs=[again], at_ms=3_700_000)
    assert list(late.retired) == list(first.live)


def test_a_halt_ends_by_gap_or_resume() -> None:
    assert halted().halted == "offset 20 is not held"
    gap = after(halted(), "gap", end=50, by="ana", reason="retention")
    assert (gap.end, gap.halted) == (50, None)
    resumed = after(halted(), "resume", by="ana", reason="disk is back")
    assert (resumed.end, resumed.halted) == (20, None)


def test_a_claim_takes_the_partition_from_the_one_before() -> None:
    state = after(sealed(), "claim", epoch=2, role="writer", writer=OTHER)
    assert (state.writer, state.epoch, state.end) == (OTHER, 2, 20)
    with pytest.raises(StoreError, match="not by the latest writer claim"):
        after(state, "seal", segment=ref(20, 30, state.head.hex()), epoch=1)


NEXT = sealed().head.hex()
INVALID: dict[str, tuple[PartitionState, str, dict[str, Any]]] = {
    "number skipped": (sealed(), "idle", {"n": 9, "end": 20, "idle_until_ms": 1}),
    "not linked": (sealed(), "idle", {"prev": ZERO_HASH, "end": 20, "idle_until_ms": 1}),
    "another partition": (sealed(), "idle", {"partition": 1, "end": 20, "idle_until_ms": 1}),
    "claim skips an epoch": (sealed(), "claim", {"epoch": 3, "role": "writer"}),
    "claim of a past epoch": (sealed(), "claim", {"epoch": 1, "role": "writer"}),
    "claim without a role": (sealed(), "claim", {"epoch": 2}),
    "claim of _control": (appended(), "claim", {"epoch": 1, "role": "writer"}),
    "seal by another writer": (sealed(), "seal", {"writer": OTHER, "segment": ref(20, 30, NEXT)}),
    "seal of another epoch": (sealed(), "seal", {"epoch": 2, "segment": ref(20, 30, NEXT, epoch=2)}),
    "seal without a segment": (sealed(), "seal", {}),
    "seal with a hole": (sealed(), "seal", {"segment": ref(21, 30, NEXT)}),
    "seal that overlaps": (sealed(), "seal", {"segment": ref(19, 30, NEXT)}),
    "seal off the chain": (sealed(), "seal", {"segment": ref(20, 30, ZERO_HASH)}),
    "seal of nothing": (sealed(), "seal", {"segment": ref(20, 20, NEXT)}),
    "seal under another name": (sealed(), "seal", {"segment": ref(20, 30, NEXT, kind="append")}),
    "seal on a halt": (halted(), "seal", {"segment": ref(20, 30, NEXT)}),
    "idle on a halt": (halted(), "idle", {"end": 20, "idle_until_ms": 1}),
    "idle goes back": (sealed(), "idle", {"end": 19, "idle_until_ms": 1}),
    "idle without a time": (sealed(), "idle", {"end": 20}),
    "append to a written partition": (sealed(), "append", {"segment": ref(20, 21, NEXT), "ids": ["x"]}),
    "append of a known id": (
        appended(), "append",
        {"segment": ref(2, 3, appended().head.hex(), kind="append", epoch=0), "ids": ["x"]},
    ),
    "append of an id twice": (
        appended(), "append",
        {"segment": ref(2, 4, appended().head.hex(), kind="append", epoch=0), "ids": ["z", "z"]},
    ),
    "append without ids": (
        appended(), "append", {"segment": ref(2, 3, appended().head.hex(), kind="append", epoch=0)},
    ),
    "compact without a claim": (
        sealed(), "compact", {"inputs": list(sealed().live), "outputs": [merged(sealed())]},
    ),
    "compact of what is not live": (
        maintained(), "compact", {"inputs": ["x"], "outputs": [merged(maintained())]},
    ),
    "compact loses rows": (
        maintained(), "compact",
        {"inputs": list(maintained().live), "outputs": [merged(maintained(), rows=19)]},
    ),
    "compact changes the head": (
        maintained(), "compact",
        {"inputs": list(maintained().live), "outputs": [merged(maintained(), head=ZERO_HASH)]},
    ),
    "compact without outputs": (maintained(), "compact", {"inputs": list(maintained().live)}),
    "compact out of order": (
        maintained(), "compact",
        {"inputs": list(maintained().live)[::-1], "outputs": [merged(maintained())]},
    ),
    "halt elsewhere": (sealed(), "halt", {"end": 19, "reason": "r"}),
    "halt without a reason": (sealed(), "halt", {"end": 20}),
    "gap without a halt": (sealed(), "gap", {"end": 30, "by": "ana", "reason": "r"}),
    "gap that goes back": (halted(), "gap", {"end": 20, "by": "ana", "reason": "r"}),
    "gap by nobody": (halted(), "gap", {"end": 30, "reason": "r"}),
    "resume without a reason": (halted(), "resume", {"by": "ana"}),
    "resume without a halt": (sealed(), "resume", {"by": "ana", "reason": "r"}),
}  # fmt: skip


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_entry_is_refused(case: str) -> None:
    state, kind, fields = INVALID[case]
    if kind == "compact":
        fields = {"epoch": 1, **fields}
    with pytest.raises(StoreError, match=f"{state.next_n:012d}"):
        after(state, kind, **fields)


def test_entries_have_one_form() -> None:
    entry = LogEntry(
        n=0, prev=ZERO_HASH, kind="claim", topic_id="t.1", partition=0, at_ms=1, writer=WRITER, role="writer"
    )
    content = encode_entry(entry)
    assert decode_entry(content, "here") == entry
    for other in (content.replace(b",", b", ", 1), content[:-1], b"\xff", b'{"n":0}', content + b" "):
        with pytest.raises(StoreError, match="here"):
            decode_entry(other, "here")


def test_refresh_reads_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    writer = claim(store)
    reader = PartitionLog.open(store, TOPIC_ID, 0)
    seal_batches(writer, [event_rows(0, 5), event_rows(5, 5)])
    read: list[int] = []
    real = Store.read_entry

    def counted(self: Store, topic_id: str, partition: int, n: int) -> bytes | None:
        read.append(n)
        return real(self, topic_id, partition, n)

    monkeypatch.setattr(Store, "read_entry", counted)
    assert reader.refresh() == writer.state
    assert read == [1, 2, 3]
    assert [entry.n for entry in reader.entries_after(0)] == [1, 2]
    assert [entry.kind for entry in reader.entries_after(-1)] == ["claim", "seal", "seal"]


def test_a_changed_entry_is_found_when_the_log_is_opened(tmp_path: Path) -> None:
    store = sealed_store(tmp_path, segments=3)
    path = tmp_path / f"log/{TOPIC_ID}/0/000000000001.json"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content.replace(b'"at_ms":1', b'"at_ms":2', 1))
    with pytest.raises(StoreError, match="000000000002"):
        PartitionLog.open(store, TOPIC_ID, 0)


@given(st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=4), max_size=30))
def test_id_sets_grow_like_sets_and_stay_shallow(additions: list[list[str]]) -> None:
    ids, plain = IdSet(), set[str]()
    for added in additions:
        fresh = [one for one in added if one not in ids]
        before, ids = ids, ids | fresh
        assert len(before) == len(plain)
        plain |= set(added)
    assert all((one in ids) == (one in plain) for one in "abcdefghijk")
    assert len(ids) == len(plain)


MOVING: list[EntryKind] = ["seal", "idle", "claim"]


@given(st.data())
def test_the_first_entry_that_reaches_an_offset(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    log = PartitionLog.open(store, TOPIC_ID, 0)
    ends: list[int] = []
    kinds: list[EntryKind] = [
        "claim",
        *data.draw(st.lists(st.sampled_from(MOVING), max_size=12), label="kinds"),
    ]
    for kind in kinds:
        state, fields = log.state, dict[str, Any]()
        if kind == "claim":
            fields = {"role": "writer", "epoch": state.epoch + 1}
        elif kind == "idle":
            fields = {
                "end": state.end + data.draw(st.integers(0, 3)),
                "idle_until_ms": 1,
                "epoch": state.epoch,
            }
        else:
            segment = ref(state.end, state.end + 2, state.head.hex(), epoch=state.epoch)
            fields = {"segment": segment, "epoch": state.epoch}
        assert log.try_append(log.next_entry(kind, at_ms=1, writer=WRITER, **fields))
        ends.append(log.state.end)
    for end in range(log.state.end + 2):
        assert log.first_reaching(end) == next((n for n, one in enumerate(ends) if one >= end), len(ends))

"""A snapshot makes opening a log fast and changes nothing else: whatever is wrong with it, it is ignored."""

from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.audit import START_MS, TOPIC_ID, claim, command_row, event_rows, seal_batches, sealed_store
from support.faults import without_disk_sync
from support.logs import cover

from pipeline.audit import log_snapshot
from pipeline.audit.catalog import build_catalog
from pipeline.audit.compact import Compactor, PartitionCompactor
from pipeline.audit.control import append_rows
from pipeline.audit.fold import PartitionState
from pipeline.audit.growing import IdSet, LiveSegments, RetiredSegments
from pipeline.audit.log import PartitionLog
from pipeline.audit.log_snapshot import load_snapshot, save_snapshot
from pipeline.audit.store import CHECKPOINT, CONTROL, Store, StoreConfig
from pipeline.audit.writer import new_writer_id
from schemas.log_entry import Leaves, SegmentRef

__all__ = ["without_disk_sync"]


@pytest.fixture(autouse=True)
def every_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots from the first entry on."""
    monkeypatch.setattr(log_snapshot, "SNAPSHOT_EVERY_ENTRIES", 1)
    monkeypatch.setattr("pipeline.audit.log.SNAPSHOT_EVERY_ENTRIES", 1)


def busy_store(root: Path) -> Store:
    """A partition with compacted, replaced and live segments, commands, and a checkpointed log."""
    store = sealed_store(root, segments=6)
    config = StoreConfig.model_validate({"path": root, "compact_fan_in_files": 4})
    compactor = PartitionCompactor(
        store, TOPIC_ID, 0, config, writer_id=new_writer_id(), now_ms=lambda: START_MS
    )
    assert compactor.run_once().made == 1
    seal_batches(claim(store), [event_rows(60, 5)])
    cover(store, Leaves(topic_id=TOPIC_ID, partition=0, first_n=0, hashes=["ab" * 32] * 5))
    return store


def state_of(store: Store, topic_id: str = TOPIC_ID) -> PartitionState:
    return PartitionLog.open(store, topic_id, 0).state


def snapshot_path(store: Store, topic_id: str = TOPIC_ID) -> Path:
    return store.cache_dir / "snapshots" / f"log-{topic_id}-0.bin"


@pytest.mark.parametrize("topic_id", [TOPIC_ID, CONTROL, CHECKPOINT])
def test_the_state_is_the_same_with_a_snapshot(tmp_path: Path, topic_id: str) -> None:
    store = busy_store(tmp_path)
    folded = state_of(store, topic_id)
    assert save_snapshot(store, folded)
    assert load_snapshot(store, topic_id, 0) == folded
    assert state_of(store, topic_id) == folded
    if topic_id == CONTROL:
        append_rows(
            store, CONTROL, [command_row("trip-9")], writer_id=new_writer_id(), now_ms=lambda: START_MS
        )
    with_snapshot = state_of(store, topic_id)
    snapshot_path(store, topic_id).unlink()
    assert with_snapshot == state_of(store, topic_id)


def test_entries_below_the_snapshot_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = busy_store(tmp_path)
    count = state_of(store).next_n
    save_snapshot(store, state_of(store))
    seal_batches(claim(store), [event_rows(65, 5)])
    read: list[int] = []
    real = Store.read_entry

    def counted(self: Store, topic_id: str, partition: int, n: int) -> bytes | None:
        read.append(n)
        return real(self, topic_id, partition, n)

    monkeypatch.setattr(Store, "read_entry", counted)
    state = state_of(store)
    assert read == [count - 1, count, count + 1, count + 2]
    assert state.end == 70


@given(st.data())
def test_a_damaged_snapshot_is_ignored(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    store = sealed_store(tmp_path_factory.mktemp("store"), segments=1, commands=0)
    folded = state_of(store)
    save_snapshot(store, folded)
    path = snapshot_path(store)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), label="cut"):
        content = content[: data.draw(st.integers(0, len(content) - 1), label="length")]
    else:
        content[data.draw(st.integers(0, len(content) - 1), label="place")] ^= 1
    path.write_bytes(content)
    assert load_snapshot(store, TOPIC_ID, 0) is None
    assert state_of(store) == folded


def test_a_snapshot_of_another_log_is_ignored(tmp_path: Path) -> None:
    store, other = sealed_store(tmp_path / "one", commands=0), sealed_store(tmp_path / "other", commands=0)
    save_snapshot(store, state_of(store))
    path = snapshot_path(other)
    path.parent.mkdir()
    path.write_bytes(snapshot_path(store).read_bytes())
    assert load_snapshot(other, TOPIC_ID, 0) is not None
    assert state_of(other).last_hash != state_of(store).last_hash
    snapshot_path(store).rename(store.cache_dir / "snapshots" / f"log-{TOPIC_ID}-1.bin")
    assert load_snapshot(store, TOPIC_ID, 1) is None


def test_a_snapshot_ahead_of_its_log_is_ignored(tmp_path: Path) -> None:
    store = sealed_store(tmp_path, segments=3, commands=0)
    save_snapshot(store, state_of(store))
    (tmp_path / f"log/{TOPIC_ID}/0/000000000003.json").unlink()
    assert (state_of(store).next_n, state_of(store).end) == (3, 20)


def test_a_forged_snapshot_that_hides_a_segment_is_ignored(tmp_path: Path) -> None:
    store = sealed_store(tmp_path, segments=3, commands=0)
    folded = state_of(store)
    refs = list(folded.live.values())
    for live in (refs[:2], refs[1:], [refs[0], refs[2]], []):
        snapshot_path(store).unlink(missing_ok=True)
        save_snapshot(store, msgspec.structs.replace(folded, live=LiveSegments.of(live)))
        assert state_of(store) == folded


def test_a_snapshot_of_another_version_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = sealed_store(tmp_path, commands=0)
    with monkeypatch.context() as patch:
        patch.setattr(log_snapshot, "_LAYOUT", ("topic_id", "something_else"))
        save_snapshot(store, state_of(store))
    assert load_snapshot(store, TOPIC_ID, 0) is None
    assert state_of(store).next_n == 4


def test_the_compaction_pass_keeps_them_fresh_and_the_catalog_too(tmp_path: Path) -> None:
    store = sealed_store(tmp_path / "compacted")
    config = StoreConfig(path=store.cache_dir)
    Compactor(store, config, writer_id=new_writer_id(), now_ms=lambda: START_MS).run_once()
    assert load_snapshot(store, TOPIC_ID, 0) == state_of(store)
    assert load_snapshot(store, CONTROL, 0) == state_of(store, CONTROL)
    queried = sealed_store(tmp_path / "queried")
    build_catalog(queried)
    assert load_snapshot(queried, TOPIC_ID, 0) == state_of(queried)


def test_they_are_written_every_so_many_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_snapshot, "SNAPSHOT_EVERY_ENTRIES", 3)
    store = Store(tmp_path)
    writer = claim(store)
    seal_batches(writer, [event_rows(0, 1)])
    assert not save_snapshot(store, writer.state)
    seal_batches(writer, [event_rows(1, 1)])
    assert save_snapshot(store, writer.state)
    seal_batches(writer, [event_rows(2, 1)])
    assert not save_snapshot(store, writer.state)
    loaded = load_snapshot(store, TOPIC_ID, 0)
    assert loaded is not None
    assert loaded.next_n == 3


names = st.lists(st.text("abc", min_size=1, max_size=3), unique=True, max_size=30)


@given(names, st.lists(st.tuples(st.integers(0, 29), st.integers(1, 5)), max_size=20))
def test_live_segments_behave_like_an_ordered_dict(start: list[str], replaced: list[tuple[int, int]]) -> None:
    live, plain = LiveSegments(), dict[str, str]()
    for name in start:
        before, live = live, live.added(_ref(name))
        assert list(before) == list(plain)
        plain[name] = name
    for round_, (at, count) in enumerate(replaced):
        order = list(plain)
        inputs = order[at : at + count]
        if not inputs:
            continue
        new = f"new {round_}"
        order[at : at + count] = [new]
        plain = dict.fromkeys(order, "")
        live = live.replaced(inputs, [_ref(new)]).added(_ref(f"then {round_}"))
        plain[f"then {round_}"] = ""
    assert list(live) == list(plain)
    assert [live[name].name for name in plain] == list(plain)
    assert len(live) == len(plain)
    for wrong in (["nobody"], list(plain)[::2][:2] if len(plain) > 2 else ["nobody"], list(plain)[1::-1]):
        if wrong != list(plain)[:1]:
            with pytest.raises(ValueError, match="not"):
                live.replaced(wrong or ["nobody"], [])


def test_sets_of_ids_are_equal_by_what_they_hold() -> None:
    one = (IdSet() | ["a"]) | ["b", "c"]
    assert one == IdSet() | ["c", "b", "a"]
    assert one != IdSet() | ["a", "b"]
    assert RetiredSegments() == {}


def _ref(name: str) -> SegmentRef:
    digest = sha256(name.encode()).hexdigest()
    return SegmentRef(
        name=name, sha256=digest, start=0, end=1, rows=1, bytes=1, prev="", head="", merkle_root=""
    )

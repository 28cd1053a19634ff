"""A proof holds for what stands in the trail, after compaction and erasure too, and for nothing else."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.audit import (
    START_MS,
    TOPIC_ID,
    claim,
    counting_clock,
    event_row,
    event_rows,
    seal_batches,
    sealed_store,
)
from support.erase import erase, settings_in, store_of
from support.proof import KEY, OTHER_KEY, agreed, checkpoint_now
from support.s3 import FakeS3
from support.tamper import entry_paths, overwrite, rewrite_rows, segment_paths, set_value

from pipeline.audit.bundle import LogBundler
from pipeline.audit.compact import compact_store
from pipeline.audit.export.run import export
from pipeline.audit.export.selection import Selection
from pipeline.audit.log import PartitionLog
from pipeline.audit.proof.check import ProofError, check_proof
from pipeline.audit.proof.checkpointed import NotCheckpointed
from pipeline.audit.proof.find import NoSuchRow
from pipeline.audit.proof.prove import prove
from pipeline.audit.store import CONTROL, Store, StoreConfig
from pipeline.errors import StoreError
from schemas.erasure import Erased

TRACE = f"{2:032x}"
"""Of the rows at offsets 10 to 19 of every partition."""


@pytest.fixture(scope="module")
def checkpointed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two partitions of 60 rows in ten segments each, so that traces cross them; `_control` too."""
    store = sealed_store(tmp_path_factory.mktemp("store"), segments=10, rows=6, partitions=2)
    checkpoint_now(store, batch_leaves=4)
    return store


def proof_of(store: Store, target: str, **options: bool) -> bytes:
    return b"".join(prove(store, target, **options))


def test_every_row_of_a_trace_is_proved(checkpointed: Store):
    report = check_proof(proof_of(checkpointed, TRACE), [KEY.public])
    assert report.holds
    proved = [(row.partition, row.offset) for row in report.rows]
    # The dead letters at offsets 11 and 17 … of every second segment have no trace.
    assert proved == [(p, o) for p in (0, 1) for o in range(10, 20) if o not in (11,)]
    assert all(row.shown == "row" and TRACE in (row.meta or "") for row in report.rows)
    assert all("invoice" in (row.payload or "") for row in report.rows)
    assert report.origin == "trail.example"


def test_a_span_and_a_position_name_single_rows(checkpointed: Store):
    by_span = check_proof(proof_of(checkpointed, f"{12 * 8 + 1:016x}"), [KEY.public])
    assert [(row.partition, row.offset) for row in by_span.rows] == [(0, 12), (1, 12)]
    by_position = check_proof(proof_of(checkpointed, f"{TOPIC_ID}/1/12/0"), [KEY.public])
    assert [(row.partition, row.offset, row.item) for row in by_position.rows] == [(1, 12, 0)]
    command = check_proof(proof_of(checkpointed, f"{CONTROL}/0/1"), [KEY.public])
    assert "write burst" in (command.rows[0].meta or "")


@pytest.mark.parametrize("target", [TRACE, f"{TOPIC_ID}/0/59"])
def test_a_proof_without_payloads_proves_the_same_rows(checkpointed: Store, tmp_path: Path, target: str):
    shown = check_proof(proof_of(checkpointed, target), [KEY.public])
    document = proof_of(checkpointed, target, with_payload=False)
    withheld = check_proof(document, [KEY.public])
    assert agreed(document, tmp_path / "proof.json")
    assert [row.commitment for row in withheld.rows] == [row.commitment for row in shown.rows]
    assert all(row.shown == "row without payload" and row.payload is None for row in withheld.rows)
    assert b'invoice\\":' not in document and b"salt_p" not in document


def test_a_proof_is_checked_by_the_key_alone(checkpointed: Store):
    document = proof_of(checkpointed, TRACE)
    with pytest.raises(ProofError, match="not signed by"):
        check_proof(document, [OTHER_KEY.public])
    assert check_proof(document, [OTHER_KEY.public, KEY.public]).keys == [KEY.public.label]


def test_proofs_made_before_and_after_compaction_are_the_same_and_hold(tmp_path: Path):
    store = sealed_store(tmp_path, segments=20, rows=6)
    checkpoint_now(store)
    before = proof_of(store, TRACE)
    config = StoreConfig(path=tmp_path, compact_fan_in_files=4, superseded_grace_s=0)
    assert compact_store(store, config, now_ms=counting_clock()).merged
    after = proof_of(store, TRACE)
    assert before == after
    assert check_proof(after, [KEY.public]).holds


def test_rows_in_a_bucket_are_proved_and_exported(s3: FakeS3, tmp_path: Path):
    store = sealed_store(tmp_path, segments=4, rows=6, at=s3.store(tmp_path / "here"))
    checkpoint_now(store)
    assert len(check_proof(proof_of(store, TRACE), [KEY.public]).rows) == 9
    everything = Selection(from_ms=START_MS, to_ms=START_MS + 3_600_000)
    assert export(store, everything, tmp_path / "out", [KEY.public]).rows == 26


def test_entries_in_bundles_are_proved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A week after they were bundled, the files of old log entries are gone."""
    for module in ("entries", "bundle"):
        monkeypatch.setattr(f"pipeline.audit.{module}.BUNDLE_ENTRIES", 4)
    store = sealed_store(tmp_path, segments=10, rows=6)
    checkpoint_now(store)
    targets = [TRACE, f"{TOPIC_ID}/0/0", f"{TOPIC_ID}/0/59"]
    before = [proof_of(store, target) for target in targets]
    LogBundler(PartitionLog.open(store, TOPIC_ID, 0)).run_once(11)
    for path in entry_paths(tmp_path)[:8]:
        path.unlink()
    assert [proof_of(store, target) for target in targets] == before


def test_files_may_be_compacted_away_while_a_proof_is_made(tmp_path: Path):
    store = sealed_store(tmp_path, segments=20, rows=6)
    checkpoint_now(store)
    undisturbed = proof_of(store, TRACE)
    pieces = prove(store, TRACE)
    begun = next(pieces)
    config = StoreConfig(path=tmp_path, compact_fan_in_files=4, superseded_grace_s=0)
    assert compact_store(store, config, now_ms=counting_clock()).deleted
    assert begun + b"".join(pieces) == undisturbed


def test_an_original_segment_may_lie_in_several_row_groups(tmp_path: Path):
    """Files that compaction made are cut by rows, not by what was sealed."""
    store = sealed_store(tmp_path, segments=8, rows=6)
    checkpoint_now(store)
    targets = [TRACE, f"{TOPIC_ID}/0/0", f"{TOPIC_ID}/0/47"]
    before = [proof_of(store, target) for target in targets]
    config = StoreConfig(path=tmp_path, compact_fan_in_files=4, superseded_grace_s=0)
    assert compact_store(store, config, now_ms=counting_clock()).merged
    for path in segment_paths(tmp_path):
        table = pq.ParquetFile(path).read()
        path.chmod(0o640)
        pq.write_table(table, path, row_group_size=4)
        assert pq.ParquetFile(path).num_row_groups > 1
    assert [proof_of(store, target) for target in targets] == before


def test_rows_that_no_checkpoint_covers_are_not_proved_yet(tmp_path: Path):
    store = sealed_store(tmp_path, segments=2, rows=6)
    with pytest.raises(NotCheckpointed, match="auditfuse checkpoint now"):
        list(prove(store, f"{TOPIC_ID}/0/3"))
    first = checkpoint_now(store)
    proof = proof_of(store, f"{TOPIC_ID}/0/3")
    sealed_more = claim(store)
    seal_batches(sealed_more, [event_rows(12, 6)])
    with pytest.raises(NotCheckpointed, match="entry 4 of "):
        list(prove(store, f"{TOPIC_ID}/0/13"))
    assert check_proof(proof_of(store, f"{TOPIC_ID}/0/3"), [KEY.public]).size == first.size
    second = checkpoint_now(store)
    assert check_proof(proof_of(store, f"{TOPIC_ID}/0/13"), [KEY.public]).size == second.size > first.size
    assert check_proof(proof, [KEY.public]).holds


def test_a_damaged_note_is_passed_over(tmp_path: Path):
    store = sealed_store(tmp_path, segments=2, rows=6)
    first = checkpoint_now(store)
    seal_batches(claim(store), [event_rows(12, 6)])
    overwrite(tmp_path / "checkpoints" / checkpoint_now(store).file_name, b"torn")
    assert check_proof(proof_of(store, f"{TOPIC_ID}/0/3"), [KEY.public]).size == first.size


@pytest.mark.parametrize(
    "target", ["f" * 32, "nothing", f"{TOPIC_ID}/0/60", f"{TOPIC_ID}/0/3/1", f"{TOPIC_ID}/9/3", "x/0/3"]
)
def test_what_is_not_there_is_said_so(checkpointed: Store, target: str):
    with pytest.raises(NoSuchRow):
        list(prove(checkpointed, target))


def test_nothing_is_proved_of_a_row_that_was_changed(tmp_path: Path):
    store = sealed_store(tmp_path, segments=2, rows=6)
    checkpoint_now(store)
    rewrite_rows(segment_paths(tmp_path)[0], set_value("meta", 2, "{}"))
    with pytest.raises(StoreError, match="not those that were sealed"):
        list(prove(store, f"{TOPIC_ID}/0/4"))


def test_nothing_is_proved_by_an_entry_that_was_changed_after_its_checkpoint(tmp_path: Path):
    store = sealed_store(tmp_path, segments=2, rows=6)
    checkpoint_now(store)
    path = entry_paths(tmp_path)[2]
    overwrite(path, path.read_bytes().replace(b'"events":5', b'"events":4'))
    with pytest.raises(StoreError, match="is not the one that was checkpointed"):
        list(prove(store, f"{TOPIC_ID}/0/7"))


def test_a_trace_in_many_messages_and_items(tmp_path: Path):
    """Several events of one message are rows of one offset."""
    store = Store(tmp_path)
    rows = [event_row(offset, item) for offset in range(20) for item in range(3)]
    seal_batches(claim(store), [rows[:30], rows[30:]])
    checkpoint_now(store)
    report = check_proof(proof_of(store, f"{TOPIC_ID}/0/12"), [KEY.public])
    assert [(row.offset, row.item) for row in report.rows] == [(12, 0), (12, 1), (12, 2)]


@pytest.mark.parametrize("what", ["payload", "row"])
def test_proofs_outlive_erasure(tmp_path: Path, what: Erased):
    """A proof made before goes on to hold; one made after proves the same row by its commitment."""
    settings = settings_in(tmp_path)
    store = store_of(settings)
    for number in range(4):
        seal_batches(claim(store), [event_rows(number * 6, 6)])
    checkpoint_now(store)
    before = proof_of(store, f"{TOPIC_ID}/0/12")
    assert erase(settings, f"trace={TRACE}", what=what).total.agents
    after = proof_of(store, f"{TOPIC_ID}/0/12")
    shown, erased = (check_proof(proof, [KEY.public]) for proof in (before, after))
    assert shown.holds and erased.holds
    assert shown.rows[0].commitment == erased.rows[0].commitment
    assert erased.rows[0].shown == ("commitment" if what == "row" else "row without payload")
    assert erased.rows[0].payload is None
    assert agreed(after, tmp_path / "proof.json")
    if what == "row":
        with pytest.raises(NoSuchRow, match="by its position"):
            list(prove(store, TRACE))
    # The erase entry is in the next checkpoint; proofs are still made against the entry that sealed the row.
    checkpoint_now(store)
    assert check_proof(proof_of(store, f"{TOPIC_ID}/0/12"), [KEY.public]).holds

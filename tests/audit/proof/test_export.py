"""An export is checked in its folder alone, and shows every change made to it."""

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.audit import (
    START_MS,
    TOPIC_ID,
    claim,
    counting_clock,
    dead_letter_row,
    event_row,
    event_rows,
    seal_batches,
    sealed_store,
)
from support.erase import erase, settings_in, store_of
from support.proof import KEY, OTHER_KEY, checkpoint_now
from support.tamper import reorder, rewrite_rows, segment_paths, set_value

from pipeline.audit import chain, merkle
from pipeline.audit.chain import payload_commitment, row_commitment
from pipeline.audit.checkpoint.note import SignedNote, sign_note
from pipeline.audit.compact import compact_store
from pipeline.audit.export.cover import CoverRoot, Part, cover
from pipeline.audit.export.run import export
from pipeline.audit.export.selection import Selection
from pipeline.audit.proof.checkpointed import NotCheckpointed
from pipeline.audit.proof.find import NoSuchRow
from pipeline.audit.store import Store, StoreConfig
from pipeline.errors import ConfigError, StoreError

ALL = Selection(from_ms=START_MS, to_ms=START_MS + 3_600_000)


@pytest.fixture(scope="module")
def checkpointed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = sealed_store(tmp_path_factory.mktemp("store"), segments=10, rows=6, partitions=2)
    checkpoint_now(store, batch_leaves=4)
    return store


def verify_export(folder: Path, key: object = KEY.public) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", folder / "verify_export.py", str(key)],
        capture_output=True,
        text=True,
        check=False,
    )


def sql_faults(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    monkeypatch.chdir(folder)
    with duckdb.connect() as connection:
        return connection.execute((folder / "verify.sql").read_text()).fetchall()


def test_an_export_of_everything_holds(checkpointed: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "out"
    manifest = export(checkpointed, ALL, out, [KEY.public])
    assert (manifest.rows, manifest.segments, manifest.erased_rows) == (122, 21, 0)
    done = verify_export(out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "122 rows are proved, 0 faults." in done.stdout
    assert sql_faults(out, monkeypatch) == []


def test_one_agent_of_an_interval_is_exported_among_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Rows of other agents and times are hashes alone."""
    settings = settings_in(tmp_path)
    store = store_of(settings)
    writer = claim(store)
    for number in range(6):
        rows = event_rows(number * 10, 10)
        rows[3:5] = [
            event_row(number * 10 + i, agent_id="other-agent", end_user="<PERSON:k1.00>") for i in (3, 4)
        ]
        rows[9] = dead_letter_row(number * 10 + 9)
        seal_batches(writer, [rows])
    erase(settings, f"trace={3:032x}")
    erase(settings, f"trace={4:032x}", what="payload")
    checkpoint_now(store)
    # Events end 250 ms after they start, at START_MS + offset.
    selection = Selection(
        from_ms=START_MS + 250 + 15,
        to_ms=START_MS + 250 + 45,
        agent="invoice-agent",
        environment="production",
    )
    out = tmp_path / "out"
    manifest = export(store, selection, out, [KEY.public], with_payload=False)
    rows = exported_rows(out)
    expected = [o for o in range(15, 45) if o // 10 != 2 and o % 10 not in (3, 4, 9)]
    assert [row["offset"] for row in rows if row["meta"]] == expected
    assert [row["offset"] for row in rows if not row["meta"]] == []
    assert manifest.rows == len(rows)
    assert all(row["payload"] is None and row["salt_p"] is None and row["cp"] for row in rows)
    files = [path for path in out.rglob("*") if path.is_file()]
    everything = b"".join(unpacked(path) for path in files)
    for absent in (b"other-agent", b"PERSON:k1", b"paid"):
        assert absent not in everything
    assert verify_export(out).returncode == 0, verify_export(out).stdout
    assert sql_faults(out, monkeypatch) == []


def test_erased_rows_are_exported_as_erased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = settings_in(tmp_path)
    store = store_of(settings)
    seal_batches(claim(store), [event_rows(0, 15), event_rows(15, 15)])
    checkpoint_now(store)
    erase(settings, f"trace={1:032x}")
    erase(settings, f"trace={2:032x}", what="payload")
    checkpoint_now(store)
    out = tmp_path / "out"
    manifest = export(store, ALL, out, [KEY.public])
    # The erasures' intents and completions are rows of `_control`, at a later time than this interval.
    assert (manifest.rows, manifest.erased_rows) == (30, 10)
    assert [row["payload"] is None for row in exported_rows(out)] == [True] * 20 + [False] * 10
    assert verify_export(out).returncode == 0
    assert sql_faults(out, monkeypatch) == []


def test_an_export_after_compaction_is_the_same_but_for_the_checkpoint(tmp_path: Path):
    store = sealed_store(tmp_path / "store", segments=20, rows=6)
    checkpoint_now(store)
    export(store, ALL, tmp_path / "before", [KEY.public])
    config = StoreConfig(path=tmp_path / "store", compact_fan_in_files=4, superseded_grace_s=0)
    assert compact_store(store, config, now_ms=counting_clock()).merged
    export(store, ALL, tmp_path / "after", [KEY.public])
    before, after = (
        {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for folder in (tmp_path / "before", tmp_path / "after")
    )
    parquet = {name for name in before if name.endswith(".parquet")} | {"manifest.json"}
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} <= parquet


def first(folder: Path, pattern: str) -> Path:
    return min(folder.glob(pattern))


def unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def exported_rows(folder: Path) -> list[dict[str, Any]]:
    tables = [pq.read_table(path) for path in sorted((folder / "rows" / "events").glob("*.parquet"))]
    return [row for table in tables for row in table.to_pylist()]


def in_gzip(pattern: str, before: bytes, after: bytes) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        path = first(folder, pattern)
        content = gzip.decompress(path.read_bytes())
        assert before in content
        path.write_bytes(gzip.compress(content.replace(before, after, 1)))

    return do


def in_text(pattern: str, before: bytes, after: bytes) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        path = first(folder, pattern)
        assert before in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(before, after, 1))

    return do


def drop_line(pattern: str, text: bytes) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        path = first(folder, pattern)
        packed = path.suffix == ".gz"
        lines = unpacked(path).splitlines(keepends=True)
        del lines[next(i for i, line in enumerate(lines) if text in line)]
        path.write_bytes(gzip.compress(b"".join(lines)) if packed else b"".join(lines))

    return do


def recommit(folder: Path) -> None:
    """Edit a row and give it the commitment of what it says now."""
    path = first(folder, PROOFS)
    lines = gzip.decompress(path.read_bytes()).splitlines()
    row = json.loads(lines[3])
    row["payload"] = row["payload"].replace("paid", "void")
    cp = payload_commitment(bytes.fromhex(row["salt_p"]), row["payload"].encode())
    row["c"] = row_commitment(bytes.fromhex(row["salt_m"]), row["meta"].encode(), cp).hex()
    lines[3] = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()
    path.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))


def reseal(folder: Path) -> tuple[bytes, bytes]:
    """And give the log entry the root of what is there now. The hashes of the entry before and after."""
    recommit(folder)
    whole = CoverRoot()
    for line in gzip.decompress(first(folder, PROOFS).read_bytes()).splitlines()[1:7]:
        row = json.loads(line)
        data = chain.leaf(row["offset"], row["item"], bytes.fromhex(row["c"]))
        whole.add(Part(1, merkle.leaf_hash(data)))
    path = first(folder, LOG)
    before = path.read_bytes().splitlines()[0]
    root = json.loads(before)["segment"]["merkle_root"].encode()
    after = before.replace(root, whole.root().hex().encode())
    path.write_bytes(path.read_bytes().replace(before, after))
    return before, after


def reseal_and_relist(folder: Path) -> None:
    """And give the tree the hash of that entry."""
    before, after = (hashlib.sha256(entry).hexdigest().encode() for entry in reseal(folder))
    in_gzip(TREE, before, after)(folder)


def other_key(folder: Path) -> None:
    """The checkpoint is signed anew by whoever made the folder."""
    path = first(folder, "checkpoints/*.note")
    path.write_bytes(sign_note(SignedNote.parse(path.read_bytes()).text, [OTHER_KEY]).encode())


PROOFS, LOG, TREE = "proofs/agent*.gz", "log/agent*.ndjson", "checkpoints/tree.ndjson.gz"
ATTACKS: dict[str, Callable[[Path], Any]] = {
    "edit payload": in_gzip(PROOFS, b"paid", b"void"),
    "edit payload and commitment": recommit,
    "edit payload, commitment and entry": reseal,
    "edit payload, commitment, entry and leaf": reseal_and_relist,
    "edit meta": in_gzip(PROOFS, b"svc-invoice", b"svc-payroll"),
    "edit offset": in_gzip(PROOFS, b'{"offset":1,', b'{"offset":2,'),
    "drop a row": drop_line(PROOFS, b'"offset":2,'),
    "drop a segment's proof": drop_line(PROOFS, b'"segment":2'),
    "edit an entry": in_text(LOG, b'"rows":6', b'"rows":7'),
    "drop an entry": drop_line(LOG, b'"n":3'),
    "drop a leaf": drop_line(TREE, b'"n":2'),
    "edit a leaf": in_gzip(TREE, b'"n":2', b'"n":9'),
    "edit a subtree": in_gzip(TREE, b'"hash":"', b'"hash":"0'),
    "add a partition that no log has": lambda folder: shutil.copy(
        first(folder, PROOFS), folder / "proofs" / "agent-events.other-0.ndjson.gz"
    ),
    "edit the size": in_text("checkpoints/*.note", b"trail.example\n2", b"trail.example\n3"),
    "sign anew": other_key,
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_change_of_the_folder_is_found(checkpointed: Store, tmp_path: Path, name: str):
    """Also by someone who makes the manifest fit."""
    out = tmp_path / "out"
    export(checkpointed, ALL, out, [KEY.public])
    ATTACKS[name](out)
    manifest = json.loads((out / "manifest.json").read_bytes())
    for path in out.rglob("*.*"):
        if path.is_file() and path.name != "manifest.json":
            facts = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            manifest["files"][str(path.relative_to(out))] = facts
    (out / "manifest.json").write_text(json.dumps(manifest))
    done = verify_export(out)
    assert done.returncode == 1, done.stdout
    assert "NOT proved" in done.stdout and "Traceback" not in done.stderr, done.stderr
    if name in ("edit payload", "edit meta"):
        assert "/0 offset " in done.stdout and done.stdout.count("NOT proved") == 1


def test_a_damaged_file_is_named(checkpointed: Store, tmp_path: Path):
    out = tmp_path / "out"
    export(checkpointed, ALL, out, [KEY.public])
    (out / "README.md").write_text("All is well.")
    (out / "verify.sql").unlink()
    (out / "more.txt").write_text("")
    told = verify_export(out).stdout
    for text in ("README.md is not the file", "verify.sql is missing", "more.txt is not listed"):
        assert text in told


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("payload", "{}", "the row is not the one that its proof is of"),
        ("salt_m", b"0" * 16, "the row is not the one that its proof is of"),
        ("agent_id", "another", "a typed column differs from the record"),
        ("offset", 99, "the proof has no row"),
    ],
)
def test_sql_finds_a_row_that_is_not_its_proofs(
    checkpointed: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    column: str,
    value: object,
    fault: str,
):
    out = tmp_path / "out"
    export(checkpointed, ALL, out, [KEY.public])
    path = next(out.glob("rows/events/*-1.parquet"))
    rewrite_rows(path, set_value(column, 3, value))
    faults = sql_faults(out, monkeypatch)
    assert (f"{TOPIC_ID}-1", 3, 0, fault) in faults
    assert {row[0] for row in faults} == {f"{TOPIC_ID}-1"}


def test_sql_finds_a_row_that_stands_twice(
    checkpointed: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    export(checkpointed, ALL, out, [KEY.public])
    path = first(out, "rows/events/*.parquet")
    rewrite_rows(path, reorder([0, 1, 1, *range(2, 60)]))
    assert sql_faults(out, monkeypatch) == [(path.stem, 1, 0, "the row stands more than once")] * 2


def test_what_cannot_be_exported_leaves_nothing_behind(checkpointed: Store, tmp_path: Path):
    out = tmp_path / "out"
    later = Selection(from_ms=START_MS + 10**9, to_ms=START_MS + 10**10)
    with pytest.raises(NoSuchRow):
        export(checkpointed, later, out, [KEY.public])
    with pytest.raises(ConfigError, match="--key"):
        export(checkpointed, ALL, out, [OTHER_KEY.public])
    unsigned = sealed_store(tmp_path / "store")
    with pytest.raises(NotCheckpointed):
        export(unsigned, ALL, out, [KEY.public])
    checkpoint_now(unsigned)
    seal_batches(claim(unsigned), [event_rows(30, 6)])
    with pytest.raises(NotCheckpointed, match="auditfuse checkpoint now"):
        export(unsigned, ALL, out, [KEY.public])
    rewrite_rows(segment_paths(tmp_path / "store")[0], set_value("meta", 2, "{}"))
    with pytest.raises(StoreError, match="not those that were sealed"):
        export(unsigned, Selection(from_ms=START_MS, to_ms=START_MS + 280), out, [KEY.public])
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    out.mkdir()
    (out / "there").touch()
    with pytest.raises(ConfigError, match="not an empty folder"):
        export(checkpointed, ALL, out, [KEY.public])


@given(st.data())
def test_a_cover_gives_the_root_and_shows_what_it_should(data: st.DataObject):
    leaves = [merkle.leaf_hash(bytes([n])) for n in range(data.draw(st.integers(1, 70)))]
    shown = data.draw(st.lists(st.booleans(), min_size=len(leaves), max_size=len(leaves)))
    parts, whole = list(cover(leaves, shown)), CoverRoot()
    for part in parts:
        whole.add(part)
    assert whole.size == len(leaves)
    assert whole.root() == merkle.root(bytes([n]) for n in range(len(leaves)))
    assert [part.number for part in parts if part.number is not None] == [i for i, s in enumerate(shown) if s]
    runs = 1 + sum(shown)
    assert len(parts) <= sum(shown) + runs * 2 * len(leaves).bit_length()

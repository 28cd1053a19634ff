"""Every change made to an export is found in its folder alone."""

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.audit import (
    TOPIC_ID,
)
from support.exports import ALL, sql_faults, unpacked, verify_export
from support.proof import KEY, OTHER_KEY
from support.tamper import reorder, rewrite_rows, set_value

from pipeline.audit import chain, merkle
from pipeline.audit.chain import payload_commitment, row_commitment
from pipeline.audit.checkpoint.note import SignedNote, sign_note
from pipeline.audit.export.cover import CoverRoot, Part
from pipeline.audit.export.run import export
from pipeline.audit.store import Store


def first(folder: Path, pattern: str) -> Path:
    return min(folder.glob(pattern))


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

"""Check this export with nothing of auditfuse: python verify_export.py KEY

KEY is the public key of the audit trail, NAME+ID+BASE64, which you must have from someone you trust, not
from this folder. Needs Python 3.11 or later and the package cryptography. Exits with 0 if every row in
proofs/ is one that was sealed under the signed checkpoint, with 1 if not; then the faults are printed.
README.md says what that proves. verify.sql compares the rows in rows/ with those in proofs/.
"""

import base64
import gzip
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Place = tuple[str, int, int]
SHOWN_FAULTS = 100
_FORMS = ({"c"}, {"c", "meta", "salt_m", "cp"}, {"c", "meta", "salt_m", "payload", "salt_p"})


class Fault(Exception):
    """Something here does not follow from the signed checkpoint."""


class Tree:
    """The root of a Merkle tree (RFC 6962), from full subtrees given from left to right."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[tuple[int, bytes]] = []

    def add(self, leaves: int, node: bytes) -> None:
        """The next subtree, of a power of two leaves."""
        require(
            leaves > 0 and leaves & (leaves - 1) == 0 and self.size % leaves == 0, "a subtree is misplaced"
        )
        self.size += leaves
        while self._peaks and self._peaks[-1][0] == leaves:
            node, leaves = sha256(b"\x01", self._peaks.pop()[1], node), 2 * leaves
        self._peaks.append((leaves, node))

    def root(self) -> bytes:
        """The tree head."""
        require(bool(self._peaks), "a tree is empty")
        node = self._peaks[-1][1]
        for _, peak in reversed(self._peaks[:-1]):
            node = sha256(b"\x01", peak, node)
        return node


def require(holds: bool, what: str) -> None:
    """Raises Fault."""
    if not holds:
        raise Fault(what)


def sha256(*parts: bytes) -> bytes:
    """The hash of the parts, joined."""
    return hashlib.sha256(b"".join(parts)).digest()


def raw(text: str, size: int) -> bytes:
    """Bytes of lower-case hex, so many."""
    require(
        len(text) == 2 * size and re.fullmatch("[0-9a-f]*", text) is not None, "a hash or salt is misspelt"
    )
    return bytes.fromhex(text)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, one a line."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            pairs: list[tuple[str, Any]] = json.loads(line, object_pairs_hook=list)
            require(len(dict(pairs)) == len(pairs), f"{path.name}: a field stands twice")
            yield dict(pairs)


def check_files(folder: Path, listed: dict[str, Any]) -> Iterator[str]:
    """Files that are not those of the manifest, which is not signed itself: for damage, not for fraud."""
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name in sorted(there ^ {*listed, "manifest.json"}):
        yield f"{name} is {'not listed in the manifest' if name in there else 'missing'}"
    for name in sorted(there & set(listed)):
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != listed[name]["sha256"]:
                yield f"{name} is not the file of the manifest"


def signed_checkpoint(note: str, key: str) -> tuple[int, bytes]:
    """Size and root of the tree that the key signed."""
    name, key_id, public = key.strip().split("+", 2)
    content = base64.b64decode(public, validate=True)
    named = sha256(name.encode(), b"\n", content)[:4].hex()
    require(len(content) == 33 and content[0] == 1 and named == key_id, "KEY is no public key: copy it whole")
    parts = re.fullmatch("(.+\n)\n((?:— [^ \n]+ [^ \n]+\n)+)", note, re.DOTALL)
    if parts is None:
        raise Fault("the checkpoint is not a signed note")
    signatures = [
        base64.b64decode(line, validate=True)
        for line in re.findall(f"— {re.escape(name)} ([^ \n]+)\n", parts[2])
    ]
    ours = [signature[4:] for signature in signatures if signature[:4].hex() == key_id]
    origin, size, root = parts[1].split("\n")[:3]
    require(bool(ours) and origin == name, f"the checkpoint is not signed by {name}+{key_id}")
    for signature in ours:
        try:
            Ed25519PublicKey.from_public_bytes(content[1:]).verify(signature, parts[1].encode())
        except InvalidSignature:
            raise Fault("the signature is not over this checkpoint") from None
    print(f"The checkpoint of {origin} over {size} log entries is signed by {name}+{key_id}.")
    return int(size), base64.b64decode(root, validate=True)


def checkpointed_entries(path: Path, size: int, root: bytes) -> dict[Place, bytes]:
    """The exported log entries under the checkpoint: identity, and SHA-256 of the bytes."""
    entries: dict[Place, bytes] = {}
    tree = Tree()
    for line in lines(path):
        if "leaves" in line:
            tree.add(line["leaves"], raw(line["hash"], 32))
            continue
        topic_id, partition, n = line["topic_id"], line["partition"], line["n"]
        entries[topic_id, partition, n] = raw(line["sha256"], 32)
        name = topic_id.encode()
        place = len(name).to_bytes(2, "big") + name + partition.to_bytes(4, "big") + n.to_bytes(8, "big")
        tree.add(1, sha256(b"\x00", place, entries[topic_id, partition, n]))
    require(
        tree.size == size and tree.root() == root,
        "checkpoints/tree.ndjson.gz is not the tree that was signed",
    )
    return entries


def check_partition(log: Path, proofs: Path, entries: dict[Place, bytes]) -> Iterator[str | None]:
    """None for each row that is proved, a fault for each that is not. Takes the entries it meets away."""
    with log.open("rb") as file:
        for line, segment in zip(file, segments(lines(proofs)), strict=True):
            content = line.rstrip(b"\n")
            entry = json.loads(content)
            n = entry["n"]
            place = (entry["topic_id"], entry["partition"], n)
            require(log.stem == f"{place[0]}-{place[1]}", f"{log.name} holds entries of another log")
            require(entries.pop(place, None) == sha256(content), f"{log.name}: entry {n} is not checkpointed")
            require(segment[0] == {"segment": n}, f"{proofs.name}: the proof of entry {n} is missing")
            yield from check_segment(entry, segment[1:])


def segments(proofs: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The lines of each segment; the first names its log entry."""
    segment: list[dict[str, Any]] = []
    for line in proofs:
        if "segment" in line and segment:
            yield segment
            segment = []
        segment.append(line)
    if segment:
        yield segment


def check_segment(entry: dict[str, Any], parts: list[dict[str, Any]]) -> Iterator[str | None]:
    """None for each row that is proved, a fault for each that is not."""
    tree, results = Tree(), list[str | None]()
    sealed, where = entry["segment"], f"{entry['topic_id']}/{entry['partition']}"
    for line in parts:
        if set(line) == {"leaves", "hash"}:
            tree.add(line["leaves"], raw(line["hash"], 32))
            continue
        offset, item, c = line["offset"], line["item"], raw(line["c"], 32)
        tree.add(1, sha256(b"\x00", offset.to_bytes(8, "big"), item.to_bytes(4, "big"), c))
        known = sealed["start"] <= offset < sealed["end"] and commitment(line) == c
        results.append(
            None if known else f"{where} offset {offset} item {item} is not the row that was sealed"
        )
    if tree.size == sealed["rows"] and tree.root().hex() == sealed["merkle_root"]:
        yield from results
    else:
        yield f"{where} offsets {sealed['start']} to {sealed['end'] - 1} are not the rows that were sealed"


def commitment(row: dict[str, Any]) -> bytes:
    """c, computed from what the line shows."""
    shown = set(row) - {"offset", "item"}
    require(shown in _FORMS, f"a row has the fields {sorted(shown)}")
    if shown == {"c"}:
        return raw(row["c"], 32)
    payload = "payload" in row
    cp = sha256(raw(row["salt_p"], 16), row["payload"].encode()) if payload else raw(row["cp"], 32)
    return sha256(sha256(raw(row["salt_m"], 16), row["meta"].encode()), cp)


def main(folder: Path, key: str) -> int:
    """Print what holds and what does not; the exit code."""
    faults: list[str] = []
    rows = 0
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        faults += check_files(folder, manifest["files"])
        size, root = signed_checkpoint((folder / manifest["checkpoint"]).read_text(encoding="utf-8"), key)
        entries = checkpointed_entries(folder / "checkpoints" / "tree.ndjson.gz", size, root)
        logs = sorted((folder / "log").iterdir())
        proofs_there = sorted(path.name for path in (folder / "proofs").iterdir())
        same = proofs_there == sorted(f"{log.stem}.ndjson.gz" for log in logs)
        require(same, "proofs/ and log/ are not of the same partitions")
        for log in logs:
            proofs = folder / "proofs" / f"{log.stem}.ndjson.gz"
            for fault in check_partition(log, proofs, entries):
                if fault is None:
                    rows += 1
                else:
                    faults.append(fault)
        require(not entries, f"{len(entries)} checkpointed entries of the export are missing in log/")
        require(bool(faults) or rows == manifest["rows"], f"the manifest says {manifest['rows']} rows")
    except Exception as error:  # noqa: BLE001 (a folder can be wrong in every way)
        faults.append(str(error) if isinstance(error, Fault) else f"{type(error).__name__}: {error}")
    for fault in faults[:SHOWN_FAULTS]:
        print(f"NOT proved: {fault}")
    print(f"{rows} rows are proved, {len(faults)} faults.")
    return 1 if faults else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(__file__).parent, sys.argv[1]))

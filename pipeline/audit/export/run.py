"""Making an export: the selected rows and all that proves them, in a folder made whole or not at all."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files as package_files
from pathlib import Path

import msgspec

from pipeline.audit.arrow import pc
from pipeline.audit.checkpoint.note import PublicKey
from pipeline.audit.checkpoint.statement import FOLDER
from pipeline.audit.export.files import PartitionFiles, write_tree
from pipeline.audit.export.readme import readme
from pipeline.audit.export.selection import Selection
from pipeline.audit.export.sql import verify_sql
from pipeline.audit.log import PartitionLog
from pipeline.audit.proof.checkpointed import CheckpointTree, Covering
from pipeline.audit.proof.find import NoSuchRow
from pipeline.audit.proof.published import PublishedSegments
from pipeline.audit.proof.rows import OriginalRows
from pipeline.audit.store import CHECKPOINT, Store
from pipeline.errors import ConfigError

FORMAT = "auditfuse-export/1"
_HASH_BLOCK_BYTES = 1024 * 1024
Progress = Callable[[int, int], None]
"""Called with the rows looked at so far and the rows to look at."""


class FileFacts(msgspec.Struct, frozen=True):
    """A file of the folder."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`manifest.json`: what the folder is, and the hash of every other file in it."""

    format: str = FORMAT
    selection: Selection
    with_payload: bool
    rows: int
    erased_rows: int
    """Of `rows`, those that were erased: their positions and commitments."""
    segments: int
    """Segments as they were sealed, in which the rows stand; one log entry each."""
    origin: str
    checkpoint: str
    """The note's file."""
    size: int
    """Log entries under the checkpoint."""
    checkpoint_at_ms: int | None
    keys: list[str]
    """The public keys that signed the note."""
    files: dict[str, FileFacts]


def export(
    store: Store,
    selection: Selection,
    out: Path,
    keys: Sequence[PublicKey],
    *,
    with_payload: bool = True,
    progress: Progress | None = None,
) -> Manifest:
    """Write the selected rows and their proofs to the folder `out`, which must not exist or be empty.

    Memory: a row group, an original segment, and 40 bytes a log entry. Raises ConfigError where `out` or
    `keys` will not do, NoSuchRow where nothing is selected, NotCheckpointed, StoreError where what is
    stored is not what was sealed. Whatever is raised, nothing is left behind.
    """
    store.require()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not an empty folder; name one that does not exist")
    tree = CheckpointTree(store)
    covering = tree.newest()
    signers = _signers(covering, keys)
    folder = out.absolute().with_name(f".{out.absolute().name}.{secrets.token_hex(4)}.unfinished")
    folder.mkdir(parents=True)
    try:
        exported = _write_rows(store, selection, folder, covering, with_payload, progress)
        manifest = _write_rest(folder, tree, covering, exported, signers, selection, with_payload)
        with suppress(FileNotFoundError):
            out.rmdir()
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return manifest


def _signers(covering: Covering, keys: Sequence[PublicKey]) -> list[PublicKey]:
    signers = covering.checkpoint.note.signers(keys)
    if not signers:
        raise ConfigError(
            f"checkpoint {covering.size} is not signed by a key that is known here; give the public key "
            "with --key"
        )
    return signers


def _write_rows(
    store: Store,
    selection: Selection,
    folder: Path,
    covering: Covering,
    with_payload: bool,
    progress: Progress | None,
) -> list[PartitionFiles]:
    """The files of each partition that has selected rows. Raises NoSuchRow where none has."""
    places = [place for place in store.partitions() if place[0] != CHECKPOINT]
    logs = [PartitionLog.open(store, *place) for place in places]
    live = [
        [ref for ref in log.state.live.values() if selection.may_be_in(log.topic_id, ref)] for log in logs
    ]
    total, done = sum(ref.rows for refs in live for ref in refs), 0
    exported: list[PartitionFiles] = []
    for log, refs in zip(logs, live, strict=True):
        published = PublishedSegments(log)
        with (
            OriginalRows(log) as originals,
            PartitionFiles(folder, log.topic_id, log.partition, with_payload=with_payload) as files,
        ):
            for ref in refs:
                for original in published.within(ref.start, ref.end):
                    if selection.may_be_in(log.topic_id, original.segment):
                        rows = originals.table(original.segment.start, original.segment.end)
                        mask = selection.mask(log.topic_id, rows)
                        if pc.any(mask).as_py():
                            covering.require(original)
                            files.add(original, rows, mask)
                    done += original.segment.rows
                    if progress is not None:
                        progress(done, total)
        if files.segments:
            exported.append(files)
    if not exported:
        raise NoSuchRow(f"no row of {store.name} is in the selection: nothing is exported")
    return exported


def _write_rest(
    folder: Path,
    tree: CheckpointTree,
    covering: Covering,
    exported: Sequence[PartitionFiles],
    signers: Sequence[PublicKey],
    selection: Selection,
    with_payload: bool,
) -> Manifest:
    statement = covering.checkpoint.statement
    for name in (FOLDER, "keys"):
        (folder / name).mkdir()
    write_tree(folder / FOLDER / "tree.ndjson.gz", tree, covering, exported)
    note = f"{FOLDER}/{statement.file_name}"
    (folder / note).write_bytes(covering.note)
    for key in signers:
        (folder / "keys" / f"{key.key_id.hex()}.pub").write_text(f"{key}\n", encoding="utf-8")
    (folder / "verify.sql").write_text(verify_sql(one.topic_id for one in exported), encoding="utf-8")
    script = package_files("pipeline.audit.export").joinpath("folder", "verify_export.py")
    (folder / "verify_export.py").write_bytes(script.read_bytes())
    manifest = Manifest(
        selection=selection,
        with_payload=with_payload,
        rows=sum(one.rows for one in exported),
        erased_rows=sum(one.erased_rows for one in exported),
        segments=sum(one.segments for one in exported),
        origin=statement.origin,
        checkpoint=note,
        size=statement.size,
        checkpoint_at_ms=statement.at_ms,
        keys=[str(key) for key in signers],
        files={},
    )
    (folder / "README.md").write_text(readme(manifest), encoding="utf-8")
    manifest = msgspec.structs.replace(manifest, files=_facts(folder))
    (folder / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    return manifest


def _facts(folder: Path) -> dict[str, FileFacts]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _file_facts(path) for path in paths}


def _file_facts(path: Path) -> FileFacts:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
    return FileFacts(path.stat().st_size, digest.hexdigest())

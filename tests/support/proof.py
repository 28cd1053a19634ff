"""Checkpointed stores, and both judges of a proof: `checkpoint_now`, `KEY`, `agreed`."""

import contextlib
import io
import runpy
import sys
from hashlib import sha256
from pathlib import Path

from support.audit import START_MS

from pipeline.audit.checkpoint.note import PublicKey, SigningKey, sign_note
from pipeline.audit.checkpoint.statement import FOLDER, Statement
from pipeline.audit.log import PartitionLog
from pipeline.audit.merkle import checkpoint_leaves
from pipeline.audit.proof.check import ProofError, check_proof
from pipeline.audit.store import CHECKPOINT, Store
from schemas.log_entry import Leaves

VERIFY_PROOF = Path(__file__).resolve().parents[2] / "docs" / "verify_proof.py"
KEY = SigningKey("trail.example", bytes(range(32)))
OTHER_KEY = SigningKey("trail.example", bytes(range(1, 33)))


def checkpoint_now(store: Store, key: SigningKey = KEY, *, batch_leaves: int = 1000) -> Statement:
    """Put every entry that no batch holds into the tree, and sign it."""
    log = PartitionLog.open(store, CHECKPOINT, 0)
    if log.state.writer is None:
        claim = log.next_entry("claim", at_ms=START_MS, writer="w" * 32, epoch=1, role="writer")
        assert log.try_append(claim)
    for topic_id, partition in store.partitions():
        if topic_id == CHECKPOINT:
            continue
        first = log.state.covered.get((topic_id, partition), 0)
        numbers = range(first, PartitionLog.open(store, topic_id, partition).state.next_n)
        for start in range(0, len(numbers), batch_leaves):
            hashes = [
                sha256(store.read_entry(topic_id, partition, n) or b"").hexdigest()
                for n in numbers[start : start + batch_leaves]
            ]
            _append_batch(
                log,
                [Leaves(topic_id=topic_id, partition=partition, first_n=first + start, hashes=hashes)],
                key,
            )
    tree = log.state.tree
    statement = Statement.of(key.name, tree.size, tree.root(), START_MS + tree.size)
    note = sign_note(statement.text, [key])
    assert store.objects.create(f"{FOLDER}/{statement.file_name}", note.encode())
    return statement


def _append_batch(log: PartitionLog, leaves: list[Leaves], key: SigningKey) -> None:
    tree = log.state.tree
    for one in leaves:
        tree = tree.grown(checkpoint_leaves(one))
    entry = log.next_entry(
        "batch",
        at_ms=START_MS + tree.size,
        writer=log.state.writer,
        epoch=log.state.epoch,
        origin=key.name,
        leaves=leaves,
        size=tree.size,
        root=tree.root().hex(),
    )
    assert log.try_append(entry)


def agreed(document: bytes, path: Path, key: PublicKey = KEY.public) -> bool:
    """Whether the proof holds, by auditfuse and by docs/verify_proof.py, which must say the same."""
    try:
        holds = check_proof(document, [key]).holds
    except ProofError:
        holds = False
    path.write_bytes(document)
    argv, sys.argv = sys.argv, ["verify_proof.py", str(path), str(key)]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            runpy.run_path(str(VERIFY_PROOF))
        independent = True
    except (Exception, SystemExit):  # noqa: BLE001 (whatever it dies of, it does not say that it holds)
        independent = False
    finally:
        sys.argv = argv
    assert holds == independent, f"auditfuse says {holds}, verify_proof.py {independent}"
    return holds

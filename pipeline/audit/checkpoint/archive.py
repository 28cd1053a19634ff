"""The checkpoints that a store keeps: found, compared, and given further signatures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.audit.checkpoint.key import read_public_keys
from pipeline.audit.checkpoint.note import NoteError
from pipeline.audit.checkpoint.statement import FOLDER, Checkpoint, is_note_name
from pipeline.audit.merkle import consistency_nodes, consistent, subtree_roots
from pipeline.audit.proof.checkpointed import CheckpointTree
from pipeline.audit.store import Store
from pipeline.errors import ConfigError, StoreError


def checkpoint_names(store: Store) -> list[str]:
    """The files of the checkpoints, by rising size; of one size the sequencer's own first."""
    names = [name for name in store.objects.names(FOLDER) if is_note_name(name)]
    return sorted(names, key=lambda name: (name[:37], len(name), name))


def read_checkpoint(store: Store, name: str) -> Checkpoint:
    """Raises StoreError where it is damaged."""
    try:
        return Checkpoint.parse(store.objects.read(f"{FOLDER}/{name}"))
    except NoteError as error:
        raise StoreError(f"checkpoint {name} cannot be read: {error}; run auditfuse verify") from None


def find_checkpoint(store: Store, size: int | None) -> Checkpoint:
    """The checkpoint of that size, by default the newest, with all signatures. Raises StoreError."""
    names = checkpoint_names(store)
    wanted = size if size is not None else max((int(name[:20]) for name in names), default=0)
    found = [read_checkpoint(store, name) for name in names if int(name[:20]) == wanted]
    if not found:
        what = "there is no checkpoint yet" if size is None else f"there is no checkpoint of {size} entries"
        raise StoreError(f"{what} in {store.name}; see auditfuse checkpoint list")
    first = found[0]
    same = [one for one in found if one.statement == first.statement]
    more = [signature for one in same for signature in one.note.signatures]
    return Checkpoint(first.note.with_signatures(more), first.statement)


def named_checkpoint(store: Store, name: str) -> Checkpoint:
    """A checkpoint by its size, or from a file outside the store. Raises ConfigError, StoreError."""
    if name.isdecimal():
        return find_checkpoint(store, int(name))
    try:
        return Checkpoint.parse(Path(name).read_bytes())
    except OSError as error:
        raise ConfigError(f"checkpoint {name} cannot be read: {error.strerror}") from None
    except NoteError as error:
        raise ConfigError(f"{name} is no checkpoint: {error}") from None


def prove_consistency(store: Store, old: Checkpoint, new: Checkpoint) -> dict[str, Any]:
    """The proof that the tree of `new` begins with that of `old`, as a JSON document; `consistent` says
    whether it is one. Raises ConfigError where `old` is the larger, StoreError where leaves are missing."""
    first, second = old.statement, new.statement
    if not 0 < first.size <= second.size:
        raise ConfigError(f"a checkpoint of {first.size} entries is not earlier than one of {second.size}")
    nodes = consistency_nodes(first.size, second.size)
    roots = subtree_roots(nodes, CheckpointTree(store).leaf_hashes(second.size))
    path = [roots[node] for node in nodes]
    holds = first.origin == second.origin and consistent(
        first.size, first.root, second.size, second.root, path
    )
    return {
        "kind": "consistency",
        "old": old.note.encode().decode(),
        "new": new.note.encode().decode(),
        "path": [base64.b64encode(node).decode() for node in path],
        "consistent": holds,
    }


def add_signatures(store: Store, file: Path, witnesses: Sequence[str]) -> str:
    """Keep the signatures of a note that the store has too; returns the new file's name.

    Raises ConfigError where the note is not the store's, or no signature is by one of `witnesses`.
    """
    given = named_checkpoint(store, str(file))
    own = find_checkpoint(store, given.statement.size)
    if own.statement != given.statement:
        raise ConfigError(f"{file} states something else than the store's checkpoint of that size")
    keys = read_public_keys(witnesses)
    try:
        signed = given.note.signers(keys)
        merged = Checkpoint(own.note.with_signatures(given.note.signatures), own.statement)
    except NoteError as error:
        raise ConfigError(f"{file}: {error}") from None
    if keys and not signed:
        raise ConfigError(f"{file} is not signed by a witness that was named")
    if merged.note == own.note:
        raise ConfigError(f"{file} has no signature that the store does not have")
    store.objects.create(f"{FOLDER}/{merged.cosigned_file_name}", merged.note.encode())
    return merged.cosigned_file_name

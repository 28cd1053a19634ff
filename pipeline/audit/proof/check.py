"""Checking a proof without the store: signature, tree, entry, segment, row. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from pipeline.audit import chain, merkle
from pipeline.audit.checkpoint.note import NoteError, PublicKey
from pipeline.audit.checkpoint.statement import Checkpoint, Statement
from pipeline.audit.proof.document import FORMAT, Proof, ProvedRow, ProvedSegment
from pipeline.errors import AuditfuseError
from schemas.log_entry import LogEntry, SegmentRef

Shown = Literal["row", "row without payload", "commitment"]
"""How much of a row a proof shows: all, all but its payload, or only what stands for it."""
MAX_ITEM = 2**31 - 1
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_FORMS: dict[frozenset[str], Shown] = {
    frozenset({"meta", "salt_m", "payload", "salt_p"}): "row",
    frozenset({"meta", "salt_m", "cp"}): "row without payload",
    frozenset({"c"}): "commitment",
}
_CONTENT = ("meta", "salt_m", "payload", "salt_p", "cp", "c")


class ProofError(AuditfuseError):
    """A document is no proof, or a part of it does not follow from the others."""

    exit_code = 1


class CheckedRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row that is proved, and what the proof shows of it."""

    topic_id: str
    partition: int
    offset: int
    item: int
    shown: Shown
    commitment: str
    """`c`, hex."""
    meta: str | None = None
    payload: str | None = None


class ProofReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a proof proves: with a fault, only the rows that are listed all the same."""

    keys: list[str]
    """NAME+ID of the keys that signed, of those that were given."""
    origin: str
    size: int
    at_ms: int | None
    """When the checkpoint was made, as its signer says."""
    rows: list[CheckedRow]
    faults: list[str]

    @property
    def holds(self) -> bool:
        """Whether everything in the document is proved."""
        return not self.faults


def check_proof(content: bytes, keys: Sequence[PublicKey]) -> ProofReport:
    """Check the JSON document `content` against the log's public keys, one of which must have signed.

    Each segment or row that does not follow is a fault of the report. Raises ProofError where the
    document is not a proof, or its checkpoint not signed by any: then nothing of it is proved.
    """
    proof = _parse(content)
    statement, signers = _signed(proof.checkpoint, keys)
    rows: list[CheckedRow] = []
    faults: list[str] = []
    for i, segment in enumerate(proof.segments):
        try:
            entry = _checkpointed(segment, statement)
        except ProofError as error:
            faults.append(f"segment {i}: {error}")
            continue
        for row in segment.rows:
            try:
                rows.append(_sealed(row, entry))
            except ProofError as error:
                place = f"{entry.topic_id}/{entry.partition} offset {row.offset} item {row.item}"
                faults.append(f"{place}: {error}")
    return ProofReport(
        keys=[key.label for key in signers],
        origin=statement.origin,
        size=statement.size,
        at_ms=statement.at_ms,
        rows=rows,
        faults=faults,
    )


def _parse(content: bytes) -> Proof:
    try:
        document = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_refuse)
        proof = msgspec.convert(document, Proof, strict=True)
    except (ValueError, RecursionError) as error:
        # A validation error names the place and the types; other texts may quote the document. A name that
        # stands in the document must not steer a terminal.
        shows = isinstance(error, msgspec.ValidationError) and str(error).isprintable()
        how = f": {error}" if shows else ""
        raise ProofError(f"this is not a proof of auditfuse{how}") from None
    if proof.format != FORMAT:
        raise ProofError(f"this proof has another format than {FORMAT}; use an auditfuse that knows it")
    if not proof.segments or not all(segment.rows for segment in proof.segments):
        raise ProofError("this proof names no row")
    return proof


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A field that stands twice would show one value to a person and prove another."""
    named = dict(pairs)
    if len(named) != len(pairs):
        raise ValueError("a field stands twice")
    return named


def _refuse(_: str) -> None:
    raise ValueError("not a number of JSON")


def _signed(note: str, keys: Sequence[PublicKey]) -> tuple[Statement, list[PublicKey]]:
    try:
        checkpoint = Checkpoint.parse(note.encode())
        signers = [key for key in checkpoint.note.signers(keys) if key.name == checkpoint.statement.origin]
    except (NoteError, UnicodeEncodeError) as error:
        how = str(error) if isinstance(error, NoteError) else "it is not text"
        raise ProofError(f"the checkpoint does not hold: {how}") from None
    if not signers:
        raise ProofError(f"the checkpoint is not signed by {' or '.join(key.label for key in keys)}")
    return checkpoint.statement, signers


class _Entry(msgspec.Struct, frozen=True):
    """What a checkpointed entry says of the segment it published."""

    topic_id: str
    partition: int
    segment: SegmentRef
    root: bytes


def _checkpointed(segment: ProvedSegment, statement: Statement) -> _Entry:
    """The log entry, proved to be in the checkpoint tree."""
    text = _utf8(segment.entry, "entry")
    try:
        entry = msgspec.json.decode(text, type=LogEntry, strict=True)
    except (ValueError, RecursionError):
        raise ProofError("its entry is not one of a log") from None
    if entry.kind not in ("seal", "append") or entry.segment is None:
        raise ProofError("its entry publishes no rows")
    try:
        leaf = merkle.checkpoint_leaf(entry.topic_id, entry.partition, entry.n, sha256(text).digest())
    except ValueError:
        raise ProofError("its entry's place is not one of a log") from None
    path = [_raw(node, 32, "path") for node in segment.path]
    if not merkle.includes(statement.root, statement.size, leaf, segment.index, path):
        raise ProofError("its log entry is not in the checkpoint")
    root = _raw(entry.segment.merkle_root, 32, "root")
    return _Entry(entry.topic_id, entry.partition, entry.segment, root)


def _sealed(row: ProvedRow, entry: _Entry) -> CheckedRow:
    """The row, proved to be in the segment that the entry published."""
    shown = _FORMS.get(frozenset(name for name in _CONTENT if getattr(row, name) is not UNSET))
    if shown is None:
        raise ProofError("it is neither a row, nor one without its payload, nor a commitment")
    if not (entry.segment.start <= row.offset < entry.segment.end and 0 <= row.item <= MAX_ITEM):
        raise ProofError("its position is not one of the segment")
    c = _commitment(row, shown)
    path = [_raw(node, 32, "path") for node in row.path]
    leaf = chain.leaf(row.offset, row.item, c)
    if not merkle.includes(entry.root, entry.segment.rows, leaf, row.index, path):
        raise ProofError("it is not the row that was sealed here")
    return CheckedRow(
        topic_id=entry.topic_id,
        partition=entry.partition,
        offset=row.offset,
        item=row.item,
        shown=shown,
        commitment=c.hex(),
        meta=row.meta or None,
        payload=None if row.payload is UNSET else row.payload,
    )


def _commitment(row: ProvedRow, shown: Shown) -> bytes:
    if shown == "commitment":
        return _raw(row.c, 32, "c")
    if shown == "row":
        payload, salt_p = _utf8(row.payload, "payload"), _raw(row.salt_p, chain.SALT_BYTES, "salt_p")
        cp = chain.payload_commitment(salt_p, payload)
    else:
        cp = _raw(row.cp, 32, "cp")
    return chain.row_commitment(_raw(row.salt_m, chain.SALT_BYTES, "salt_m"), _utf8(row.meta, "meta"), cp)


def _raw(text: str | msgspec.UnsetType, size: int, name: str) -> bytes:
    """The bytes of lower-case hex of this size: one spelling, so that no character can change unseen."""
    if text is UNSET or len(text) != 2 * size or not _HEX.fullmatch(text):
        raise ProofError(f"its {name} is not {size} bytes in lower-case hex")
    return bytes.fromhex(text)


def _utf8(text: str | msgspec.UnsetType, name: str) -> bytes:
    try:
        return b"" if text is UNSET else text.encode()
    except UnicodeEncodeError:
        raise ProofError(f"its {name} is not text") from None

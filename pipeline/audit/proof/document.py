"""What a proof holds, as JSON: rows, the log entries that published them, and a signed checkpoint."""

from collections.abc import Iterator

import msgspec
from msgspec import UNSET, UnsetType

FORMAT = "auditfuse-proof/1"


class ProvedRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A row and its path to the Merkle root of the segment in which it was sealed.

    One of three forms: whole (meta, salt_m, payload, salt_p), without its payload (meta, salt_m, cp), or
    its commitment alone (c). Hashes and salts are lower-case hex.
    """

    index: int
    """Number of the row in its segment, from 0."""
    offset: int
    item: int
    path: list[str]
    meta: str | UnsetType = UNSET
    salt_m: str | UnsetType = UNSET
    payload: str | UnsetType = UNSET
    salt_p: str | UnsetType = UNSET
    cp: str | UnsetType = UNSET
    c: str | UnsetType = UNSET


class ProvedSegment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A seal or append entry of a log, its path to the checkpoint's root, and rows that it published."""

    entry: str
    """The exact text of the entry."""
    index: int
    """Number of the entry's leaf in the checkpoint tree, from 0."""
    path: list[str]
    rows: list[ProvedRow]


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole document."""

    format: str
    checkpoint: str
    """The signed note, exactly."""
    segments: list[ProvedSegment]


def encode_proof(checkpoint: str, segments: Iterator[ProvedSegment]) -> Iterator[bytes]:
    """The document in pieces, a segment at a time, so that no trace is too long to prove."""
    head = msgspec.json.encode({"format": FORMAT, "checkpoint": checkpoint})
    yield head[:-1] + b',"segments":['
    for number, segment in enumerate(segments):
        yield (b",\n" if number else b"\n") + msgspec.json.encode(segment)
    yield b"\n]}\n"

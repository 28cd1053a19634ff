"""Which rows a broken chain speaks of, so that one change gives one fault. Runs only where one is."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.audit.verify.rows import SegmentRows

INSERTED_LOOK_BACK = 256
"""So many rows in a run of inserted ones are recognised as such."""


@dataclass(frozen=True)
class _Chain:
    """A run of rows in order: what precedes each, its leaf, its hash as stored and as computed."""

    befores: list[bytes]
    leaves: list[bytes]
    hashes: list[bytes]
    computed: list[bytes]


def diagnose(rows: SegmentRows, prev: bytes, head: bytes, expected_rows: int) -> None:
    """Name the rows of a segment that are out of order, do not link, or are missing: adds to their faults."""
    order = _in_order(rows)
    hashes = [rows.hashes[i].tobytes() for i in order]
    leaves = [rows.leaves[i].tobytes() for i in order]
    befores = [prev, *hashes[:-1]]
    computed = [sha256(b + leaf).digest() for b, leaf in zip(befores, leaves, strict=True)]
    if computed != hashes:
        _judge_links(rows, order, _Chain(befores, leaves, hashes, computed), head, expected_rows - len(order))
    if len(order) < expected_rows and not rows.faults:
        rows.fault(len(order) - 1, f"{expected_rows - len(order)} rows after it are missing")
    elif len(order) > expected_rows and not rows.faults:
        rows.fault(expected_rows, f"{len(order) - expected_rows} rows more than the log names")


def _in_order(rows: SegmentRows) -> list[int]:
    """The rows' indexes by (offset, item); those that stand in another's place are faults."""
    identities = list(zip(rows.offsets.tolist(), rows.items.tolist(), strict=True))
    if all(a < b for a, b in pairwise(identities)):
        return list(range(len(identities)))
    highest = (-1, -1)
    for i, identity in enumerate(identities):
        if identity <= highest:
            rows.fault(i, "stands out of order, or a second time: moved, swapped or repeated")
        highest = max(highest, identity)
    return sorted(range(len(identities)), key=identities.__getitem__)


def _judge_links(rows: SegmentRows, order: list[int], chain: _Chain, head: bytes, missing: int) -> None:
    """Find which rows broken links speak of. A link breaks at a row that was changed or precedes
    a deletion, but also at the row after an inserted one or one whose stored hash was changed."""
    broken = [i for i, h in enumerate(chain.hashes) if chain.computed[i] != h]
    edited_hash = {i for i in broken if _hash_was_edited(chain, i, head)}
    for i in broken:
        if (
            i - 1 in edited_hash
            and sha256(chain.computed[i - 1] + chain.leaves[i]).digest() == chain.hashes[i]
        ):
            continue  # broken only through the row before
        skipped = _inserted_before(chain, i)
        if skipped:
            for j in range(i - skipped, i):
                rows.faults.pop(order[j], None)
                rows.fault(order[j], "inserted: the chain of the rows around it passes it by")
        elif i in edited_hash:
            rows.fault(order[i], "its stored hash h was changed")
        elif missing > 0:
            rows.fault(
                order[i], f"does not follow from the row before it: {missing} rows of the segment are missing"
            )
        else:
            rows.fault(order[i], "its meta, payload, salts or position are not those that were chained")


def _hash_was_edited(chain: _Chain, i: int, head: bytes) -> bool:
    """Whether the row's own content is right, since what follows was chained onto it."""
    if i + 1 == len(chain.hashes):
        return chain.computed[i] == head
    return sha256(chain.computed[i] + chain.leaves[i + 1]).digest() == chain.hashes[i + 1]


def _inserted_before(chain: _Chain, i: int) -> int:
    """How many rows right before row `i` the chain passes by; 0 where it does not."""
    for back in range(1, min(i, INSERTED_LOOK_BACK) + 1):
        if sha256(chain.befores[i - back] + chain.leaves[i]).digest() == chain.hashes[i]:
            return back
    return 0

"""Making a proof: from the rows that were asked for to one self-contained document.

Rows are proved against the entry that first sealed them, whatever compaction or erasure did since:
the checkpoint's leaf covers that entry, and the leaves of its rows can be computed from any file that
holds them now. So a proof made today holds after the rows are gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from pipeline.audit import merkle
from pipeline.audit.log import PartitionLog
from pipeline.audit.proof.checkpointed import CheckpointTree
from pipeline.audit.proof.document import ProvedRow, ProvedSegment, encode_proof
from pipeline.audit.proof.find import NoSuchRow, Position, find_rows
from pipeline.audit.proof.published import Published, PublishedSegments
from pipeline.audit.proof.rows import OriginalRows, StoredRow
from pipeline.audit.store import Store
from pipeline.errors import StoreError


class _Asked(NamedTuple):
    """An original segment and the rows of it that are asked for."""

    published: Published
    positions: list[Position]


def prove(store: Store, target: str, *, with_payload: bool = True) -> Iterator[bytes]:
    """The JSON proof, in pieces, of every row of a trace id, span id or position.

    Everything that can be refused is refused before the first piece. Raises NoSuchRow,
    NotCheckpointed, StoreError where what is stored is not what was sealed.
    """
    store.require()
    return prove_rows(store, find_rows(store, target), with_payload=with_payload)


def prove_rows(store: Store, positions: list[Position], *, with_payload: bool = True) -> Iterator[bytes]:
    """The same of the rows at these positions, which are in order."""
    logs: dict[tuple[str, int], PartitionLog] = {}
    asked = list(_by_segment(store, positions, logs))
    tree = CheckpointTree(store)
    covering = tree.newest()
    for one in asked:
        covering.require(one.published)
    paths = tree.paths(covering, [one.published for one in asked])
    pieces = encode_proof(
        covering.note.decode(),
        (
            ProvedSegment(
                entry=published.content.decode(),
                index=paths[published.place].number,
                path=[node.hex() for node in paths[published.place].path],
                rows=rows,
            )
            for published, rows in _proved_rows(asked, logs, with_payload)
        ),
    )
    # A fault in the first segment shows before anything is written.
    first = [next(pieces), next(pieces)]
    yield from first
    yield from pieces


def _by_segment(
    store: Store, positions: list[Position], logs: dict[tuple[str, int], PartitionLog]
) -> Iterator[_Asked]:
    for (topic_id, partition), of_partition in groupby(positions, key=lambda row: row[:2]):
        log = logs[topic_id, partition] = PartitionLog.open(store, topic_id, partition)
        published = PublishedSegments(log)
        last: _Asked | None = None
        for position in of_partition:
            if last is None or position.offset >= last.published.segment.end:
                if last is not None:
                    yield last
                holding = published.holding(position.offset)
                if holding is None:
                    raise NoSuchRow(f"no row of {topic_id}/{partition} stands at offset {position.offset}")
                last = _Asked(holding, [])
            last.positions.append(position)
        if last is not None:
            yield last


def _proved_rows(
    asked: list[_Asked], logs: dict[tuple[str, int], PartitionLog], with_payload: bool
) -> Iterator[tuple[Published, list[ProvedRow]]]:
    for place, of_partition in groupby(asked, key=lambda one: one.published.place[:2]):
        with OriginalRows(logs[place]) as originals:
            for published, positions in of_partition:
                rows = originals.rows(published.segment.start, published.segment.end)
                yield published, _prove_rows(published, rows, positions, with_payload)


def _prove_rows(
    published: Published, rows: list[StoredRow], positions: list[Position], with_payload: bool
) -> list[ProvedRow]:
    """The rows at `positions`, each with its path, out of all rows of the original segment."""
    segment = published.segment
    wanted = {(position.offset, position.item) for position in positions}
    indexes = [
        i for i, row in enumerate(rows) if (row.offset, row.item) in wanted or (row.offset, None) in wanted
    ]
    where = f"{published.topic_id}/{published.partition}"
    missing = {offset for offset, _ in wanted} - {rows[i].offset for i in indexes}
    if missing or not indexes:
        raise NoSuchRow(f"no row of {where} stands at offset {min(missing, default=positions[0].offset)}")
    nodes = {i: merkle.inclusion_nodes(i, len(rows)) for i in indexes}
    whole = merkle.Node(0, len(rows))
    wanted_nodes = {node for path in nodes.values() for node in path} | {whole}
    roots = merkle.subtree_roots(wanted_nodes, (merkle.leaf_hash(row.leaf()) for row in rows))
    if len(rows) != segment.rows or roots[whole].hex() != segment.merkle_root:
        raise StoreError(
            f"the rows of {where} at offsets {segment.start} to {segment.end - 1} are not those that were "
            "sealed; run auditfuse verify"
        )
    return [
        ProvedRow(
            index=i,
            offset=rows[i].offset,
            item=rows[i].item,
            path=[roots[node].hex() for node in nodes[i]],
            **rows[i].shown(with_payload=with_payload),
        )
        for i in indexes
    ]

"""The dead letters of a store, and which of them were retried already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from pipeline.audit.arrow import ParquetFile, pc
from pipeline.audit.erase.live import each_live
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import APPEND_PARTITIONS, Store
from schemas.record import DeadLetterMeta

PARTITION = 0
"""Of a retry log: it has one partition, and offsets count the messages that were retried."""


class Letter(NamedTuple):
    """A sealed dead letter."""

    topic_id: str
    partition: int
    offset: int
    item: int
    reason: str
    source: str
    broker_time_ms: int
    raw_hmac: str
    items: int
    """Rows that its message has."""

    @property
    def identity(self) -> str:
        """`<topic id>/<partition>/<offset>/<item>`."""
        return f"{self.topic_id}/{self.partition}/{self.offset}/{self.item}"

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self.topic_id.rpartition(".")[0]


class _OfOrigin(msgspec.Struct):
    retry_of: str | None = None


class _Meta(msgspec.Struct):
    origin: _OfOrigin


def dead_letters(store: Store) -> Iterator[Letter]:
    """Every dead letter that is not erased, partition by partition, in row order; none twice."""
    for topic_id, partition in store.partitions():
        if topic_id in APPEND_PARTITIONS:
            continue
        read: set[tuple[int, int]] = set()
        for letter in each_live(PartitionLog.open(store, topic_id, partition), _letters):
            if (letter.offset, letter.item) not in read:
                read.add((letter.offset, letter.item))
                yield letter


def retry_topic_id(topic_id: str) -> str:
    """The id under which what is retried of a topic is stored: another incarnation of its name, the same one
    for the same topic, so that rules by topic cover it."""
    name = topic_id.rpartition(".")[0]
    return f"{name}.{hashlib.sha256(b'auditfuse/retries' + topic_id.encode()).hexdigest()[:32]}"


def retried(store: Store, topic_id: str) -> set[str]:
    """The identities of the dead letters of a topic that were retried already."""
    log = PartitionLog.open(store, retry_topic_id(topic_id), PARTITION)
    return set(each_live(log, _links))


def _letters(name: str, file: ParquetFile) -> Iterator[Letter]:
    del name
    for group in range(file.num_row_groups):
        kinds = file.read_row_group(group, columns=["kind"]).column("kind")
        if not pc.any(pc.equal(kinds, "dead_letter")).as_py():
            continue
        table = file.read_row_group(group, columns=["kind", "offset", "meta"])
        counts: dict[int, int] = {}
        for offset in table.column("offset").to_pylist():
            counts[offset] = counts.get(offset, 0) + 1
        mine = pc.and_(pc.equal(table.column("kind"), "dead_letter"), pc.is_valid(table.column("meta")))
        for meta in table.filter(mine).column("meta").to_pylist():
            yield _letter(msgspec.json.decode(meta, type=DeadLetterMeta), counts)


def _letter(meta: DeadLetterMeta, counts: dict[int, int]) -> Letter:
    origin = meta.origin
    return Letter(
        origin.topic_id,
        origin.partition,
        origin.offset,
        origin.item,
        meta.reason,
        origin.source,
        origin.broker_time_ms,
        origin.raw_hmac,
        counts[origin.offset],
    )


def _links(name: str, file: ParquetFile) -> Iterator[str]:
    del name
    for group in range(file.num_row_groups):
        for meta in file.read_row_group(group, columns=["meta"]).column("meta").to_pylist():
            if meta is not None:
                link = msgspec.json.decode(meta, type=_Meta).origin.retry_of
                if link is not None:
                    yield link

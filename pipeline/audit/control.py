"""The partitions that any host appends to without a claim: `_control` and `_findings`.

Who appends has folded everything before, and appends no id twice; creating the next entry is the
compare-and-set. Whoever loses reads what came first and tries again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from pipeline.audit.log import PartitionLog, PartitionState
from pipeline.audit.segment import build_segment, open_parquet
from pipeline.audit.store import Store
from pipeline.clock import NowMs
from schemas.log_entry import SegmentRef
from schemas.record import Row, RowKind

PARTITION = 0
ENTRY_MAX_ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendRow:
    """A row on its way into an append partition. `fields` is the struct that `meta` encodes."""

    id: str
    kind: RowKind
    meta: bytes
    fields: Any
    payload: bytes = b""

    @classmethod
    def of(cls, fields: Any) -> "AppendRow":
        """The row of a Command, FindingRow or IncidentRow."""
        return cls(id=fields.id, kind=fields.kind, meta=msgspec.json.encode(fields), fields=fields)


class AppendedRow(NamedTuple):
    """A row as read back, for folding. None where it was erased."""

    offset: int
    meta: bytes | None
    payload: bytes | None


class AppendLog:
    """One append partition, kept open by a host that appends often: reads only what is new.

    One thread at a time; threads that share nothing but the store may append at once.
    """

    def __init__(self, store: Store, topic_id: str, *, writer_id: str, now_ms: NowMs) -> None:
        self._log = PartitionLog(store, topic_id, PARTITION)
        self._writer_id = writer_id
        self._now_ms = now_ms

    def append(self, rows: Sequence[AppendRow]) -> list[str]:
        """Append the rows whose id was never appended, in order; returns their ids.

        Up to 1,000 rows an entry. After an OSError it is not known which were appended: call again
        with the same rows.
        """
        appended: list[str] = []
        distinct = list({row.id: row for row in rows}.values())
        for first in range(0, len(distinct), ENTRY_MAX_ROWS):
            appended += self._append_entry(distinct[first : first + ENTRY_MAX_ROWS])
        return appended

    def _append_entry(self, rows: Sequence[AppendRow]) -> list[str]:
        while True:
            state = self._log.refresh()
            missing = [row for row in rows if row.id not in state.ids]
            if len(missing) < len(rows):
                self._log.confirm()
            if not missing or self._try_append(state, missing):
                return [row.id for row in missing]

    def _try_append(self, state: PartitionState, missing: Sequence[AppendRow]) -> bool:
        log = self._log
        built = build_segment(
            state.topic_id,
            state.partition,
            [_row(state.end + i, row) for i, row in enumerate(missing)],
            start=state.end,
            end=state.end + len(missing),
            epoch=0,
            kind="append",
            prev=state.head,
        )
        log.store.create_segment(log.topic_id, log.partition, built.ref.name, built.content)
        entry = log.next_entry(
            "append",
            at_ms=self._now_ms(),
            writer=self._writer_id,
            segment=built.ref,
            ids=[row.id for row in missing],
        )
        if log.try_append(entry):
            return True
        # Its entry number went to another: no entry can name this file any more.
        log.store.discard_segment(log.topic_id, log.partition, built.ref.name)
        return False


def append_rows(
    store: Store, topic_id: str, rows: Sequence[AppendRow], *, writer_id: str, now_ms: NowMs
) -> list[str]:
    """Append the rows whose id was never appended, in order; returns their ids. See AppendLog."""
    return AppendLog(store, topic_id, writer_id=writer_id, now_ms=now_ms).append(rows)


def read_rows(store: Store, topic_id: str, from_offset: int = 0) -> Iterator[AppendedRow]:
    """The rows at or above `from_offset`, in order, as far as they are appended when it starts."""
    log = PartitionLog.open(store, topic_id, PARTITION)
    end = log.state.end
    while from_offset < end:
        ref = next(ref for ref in log.state.live.values() if ref.end > from_offset)
        try:
            rows = _read_segment(store, topic_id, ref)
        except FileNotFoundError:
            # Replaced by a compaction and deleted since: the log names what holds its rows now.
            before = log.state.next_n
            if log.refresh().next_n == before:
                raise
            continue
        yield from (row for row in rows if from_offset <= row.offset < end)
        from_offset = ref.end


def _read_segment(store: Store, topic_id: str, ref: SegmentRef) -> list[AppendedRow]:
    with store.open_segment(topic_id, PARTITION, ref.name) as source:
        table = open_parquet(source).read(columns=["offset", "meta", "payload"])
    offsets, metas, payloads = (table.column(name).to_pylist() for name in ("offset", "meta", "payload"))
    return [
        AppendedRow(offset, _bytes(meta), _bytes(payload))
        for offset, meta, payload in zip(offsets, metas, payloads, strict=True)
    ]


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _row(offset: int, row: AppendRow) -> Row:
    return Row(offset=offset, item=0, kind=row.kind, meta=row.meta, payload=row.payload, fields=row.fields)

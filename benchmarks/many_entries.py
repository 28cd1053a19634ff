"""A store whose partition has a million log entries: how long it takes until one can write and query.

The entries are valid, from the claim to the last one; the segments that are live in the end are real
files, though with fewer rows than the log says: nothing here reads rows but a first look at each file.
"""

import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks.rows import TOPIC_ID, generated_rows
from pipeline.audit import chain
from pipeline.audit.entries import BUNDLE_ENTRIES, bundle_key
from pipeline.audit.log import PartitionLog, encode_entry
from pipeline.audit.query import open_catalog
from pipeline.audit.segment import build_segment
from pipeline.audit.store import SegmentName, Store, open_store
from pipeline.audit.writer import PartitionWriter, new_writer_id
from pipeline.clock import system_now_ms
from schemas.log_entry import ZERO_HASH, EntryKind, LogEntry, SegmentKind, SegmentRef

PARTITION = 0
START_MS = 1_767_225_600_000
FAN_IN = 16
LIVE_SEGMENTS = 100
ROWS_PER_SEAL = 10
WRITER = "0" * 32


class Opening(NamedTuple):
    """Seconds until a store of so many entries is open."""

    entries: int
    claim_s: float
    """Until a writer has claimed the partition."""
    query_s: float
    """Until `auditfuse sql` has counted the rows, its first catalog built."""
    claim_without_snapshot_s: float
    """The same claim where every entry is folded."""


def measure_opening(folder: Path, entries: int = 1_000_000) -> Opening:
    """Make such a store in `folder` and open it."""
    root = folder / "many-entries"
    store = open_store(root)
    _make(store, entries)
    without_s = _seconds(lambda: PartitionLog.open(store, TOPIC_ID, PARTITION))
    PartitionLog.open(store, TOPIC_ID, PARTITION).save_snapshot()
    claim_s = _seconds(lambda: _claim(store))
    query_s = _seconds(lambda: _count(store))
    shutil.rmtree(root)
    return Opening(entries, claim_s, query_s, without_s)


def _claim(store: Store) -> None:
    PartitionWriter.claim(store, TOPIC_ID, PARTITION, writer_id=new_writer_id(), now_ms=system_now_ms)


def _count(store: Store) -> None:
    with open_catalog(store) as query:
        for found in query.run("SELECT count(*) FROM events"):
            found.fetchall()


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _make(store: Store, count: int) -> None:
    """Write `count` entries: full bundles, and the rest a file each."""
    entries = _entries(store, count)
    for number in range(count // BUNDLE_ENTRIES):
        content = b"".join(itertools.islice(entries, BUNDLE_ENTRIES))
        store.objects.create(bundle_key(store, TOPIC_ID, PARTITION, number), content)
    for n, line in enumerate(entries, count // BUNDLE_ENTRIES * BUNDLE_ENTRIES):
        store.create_entry(TOPIC_ID, PARTITION, n, line[:-1])


def _entries(store: Store, count: int) -> Iterator[bytes]:
    """The lines of a log: seals, one a second, compacted in tiers, and in the end into real files."""
    chained = _Chained()
    yield chained.line("claim", epoch=1, role="writer")
    yield chained.line("claim", epoch=1, role="maintenance")
    tiers: list[list[SegmentRef]] = [[] for _ in range(8)]
    end, prev = 0, chain.first_prev(TOPIC_ID, PARTITION).hex()
    while chained.n < count - 1:
        ref = _synthetic(end, end + ROWS_PER_SEAL, prev, f"{end:064x}", "seal")
        yield chained.line("seal", epoch=1, segment=ref)
        end, prev = ref.end, ref.head
        tiers[0].append(ref)
        for lower, upper in itertools.pairwise(tiers):
            if len(lower) < FAN_IN or chained.n >= count - 1:
                break
            merged = _synthetic(lower[0].start, end, lower[0].prev, prev, "compact")
            yield chained.line("compact", epoch=1, inputs=[one.name for one in lower], outputs=[merged])
            lower.clear()
            upper.append(merged)
    live = [ref for tier in reversed(tiers) for ref in tier]
    outputs = list(_real(store, end, prev))
    yield chained.line("compact", epoch=1, inputs=[one.name for one in live], outputs=outputs)


class _Chained:
    """Entries that follow each other, a second apart."""

    def __init__(self) -> None:
        self.n = 0
        self._prev = ZERO_HASH

    def line(self, kind: EntryKind, **fields: Any) -> bytes:
        entry = LogEntry(
            n=self.n,
            prev=self._prev,
            kind=kind,
            topic_id=TOPIC_ID,
            partition=PARTITION,
            at_ms=START_MS + 1000 * self.n,
            writer=WRITER,
            **fields,
        )
        content = encode_entry(entry)
        self.n += 1
        self._prev = sha256(content).hexdigest()
        return content + b"\n"


def _synthetic(start: int, end: int, prev: str, head: str, kind: SegmentKind) -> SegmentRef:
    """What an entry says of a segment that nobody will look for any more."""
    digest = f"{start:032x}{end:032x}"
    rows = end - start
    return SegmentRef(
        name=str(SegmentName(start, end, 1, kind, digest[:16])),
        sha256=digest,
        start=start,
        end=end,
        rows=rows,
        bytes=400 * rows,
        prev=prev,
        head=head,
        merkle_root=digest,
        events=rows,
        min_event_ms=START_MS + start,
        max_event_ms=START_MS + end,
        max_broker_ms=START_MS + end,
    )


def _real(store: Store, end: int, head: str) -> Iterator[SegmentRef]:
    """Live segments that are there. The last one says that it reaches up to `end` and `head`."""
    rows = generated_rows(LIVE_SEGMENTS * ROWS_PER_SEAL)
    prev = chain.first_prev(TOPIC_ID, PARTITION)
    for start in range(0, len(rows), ROWS_PER_SEAL):
        last = start + ROWS_PER_SEAL == len(rows)
        built = build_segment(
            TOPIC_ID,
            PARTITION,
            rows[start : start + ROWS_PER_SEAL],
            start=start,
            end=end if last else start + ROWS_PER_SEAL,
            epoch=1,
            kind="compact",
            prev=prev,
        )
        store.create_segment(TOPIC_ID, PARTITION, built.ref.name, built.content)
        prev = bytes.fromhex(built.ref.head)
        yield msgspec.structs.replace(built.ref, rows=end - start, head=head) if last else built.ref

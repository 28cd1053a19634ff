"""Verification: the whole store recomputed from disk, apart from the state of any writer."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice, pairwise
from pathlib import Path

from pipeline.audit import chain
from pipeline.audit.store import Store
from pipeline.audit.verify.entries import LiveSegment, LogState, read_log
from pipeline.audit.verify.report import VERDICTS, Fault, Note, Verdict, VerifyReport
from pipeline.audit.verify.segments import SegmentOutcome, SegmentTask, check_segment
from pipeline.errors import StoreError
from schemas.log_entry import SegmentRef

__all__ = ["VERDICTS", "Fault", "Note", "Verdict", "VerifyReport", "verify_store"]

MAX_LISTED_FAULTS = 10_000
PARALLEL_FROM_ROWS = 100_000
"""A smaller store is verified before further processes would have started."""
TASKS_AHEAD = 4
"""Segments handed to each process before its results are taken: bounds what waits."""

Progress = Callable[[int, int], None]
"""Called with the rows verified so far and the rows there are, as the log states them."""


def verify_store(
    root: Path, *, progress: Progress | None = None, columns: bool = True, workers: int | None = None
) -> VerifyReport:
    """Recompute everything in the store at `root` and say what does not hold.

    Reads logs and live segments only; snapshots, catalog and staging play no part. Memory is bounded
    by the largest segment and the number of live ones. `columns=False` leaves the typed columns out.
    `workers` is the number of processes, by default one a core for stores that are worth it.
    Raises StoreError where `root` is no store.
    """
    started = time.perf_counter()
    if not root.is_dir():
        raise StoreError(f"there is no store at {root}; give its directory with --store")
    store = Store(root)
    tally = _Tally(progress)
    states: list[LogState] = []
    for topic_id, partition in _partitions(store):
        state = read_log(store, topic_id, partition)
        _check_partition(store, state)
        states.append(state)
        tally.add_faults(state.faults)
        tally.notes += state.notes
    tasks = [task for state in states for task in _tasks(state, columns)]
    tally.total_rows = sum(task.ref.rows for task in tasks)
    for outcome in _outcomes(store, tasks, tally.total_rows, workers):
        tally.add(outcome)
    order = {verdict: i for i, verdict in enumerate(VERDICTS)}
    tally.faults.sort(key=lambda f: (order[f.verdict], f.topic_id, f.partition, f.offset or 0, f.entry or 0))
    return VerifyReport(
        store=str(root),
        partitions=len(states),
        entries=sum(state.entries for state in states),
        segments=len(tasks),
        rows=tally.rows,
        bytes=tally.bytes,
        seconds=round(time.perf_counter() - started, 3),
        columns_checked=columns,
        faults=tally.faults,
        faults_left_off=tally.left_off,
        notes=tally.notes,
    )


class _Tally:
    """Sums up outcomes, keeping a bounded number of faults."""

    def __init__(self, progress: Progress | None) -> None:
        self.rows = self.bytes = self.left_off = self.total_rows = 0
        self.faults: list[Fault] = []
        self.notes: list[Note] = []
        self._progress = progress

    def add(self, outcome: SegmentOutcome) -> None:
        self.rows += outcome.rows
        self.bytes += outcome.bytes
        self.add_faults(outcome.faults)
        if self._progress is not None:
            self._progress(self.rows, self.total_rows)

    def add_faults(self, faults: list[Fault]) -> None:
        room = MAX_LISTED_FAULTS - len(self.faults)
        self.faults += faults[:room]
        self.left_off += max(0, len(faults) - room)


def _partitions(store: Store) -> list[tuple[str, int]]:
    """Every partition that has a log or a segment."""
    found = set(store.partitions())
    for topic_id in store.objects.names("segments"):
        names = store.objects.names(f"segments/{topic_id}")
        found.update((topic_id, int(name)) for name in names if name.isdecimal())
    return sorted(found)


def _check_partition(store: Store, state: LogState) -> None:
    """What the log alone and the file names say: links, offsets, files that nothing makes live."""
    live = sorted(state.live.values(), key=lambda segment: (segment.ref.start, segment.ref.end))
    first = chain.first_prev(state.topic_id, state.partition).hex()
    if live and live[0].ref.prev != first:
        _link_fault(
            state, live[0], "does not start from the partition's first hash: what came before is missing"
        )
    for before, after in pairwise(live):
        if after.ref.prev != before.ref.head:
            _link_fault(state, after, f"does not chain onto the segment before it, {before.ref.name}")
        if after.ref.start < before.ref.end:
            _offset_fault(state, after, f"overlaps the segment before it, {before.ref.name}")
        elif after.ref.start > before.ref.end:
            _check_gap(state, before.ref.end, after)
    if live and not state.faults and state.end < live[-1].ref.end:
        _offset_fault(state, live[-1], "lies above the log's end")
    names = store.segment_names(state.topic_id, state.partition)
    loose = [name for name in names if name not in state.live and name not in state.superseded]
    if names and not state.entries:
        how = f"there is no log, though {len(names)} segment files are there"
        state.fault(0, how)
    for name in loose if state.entries else []:
        state.note(f"no log entry makes {name} live: left by a writer that stopped, or its entry was cut off")


def _check_gap(state: LogState, start: int, after: LiveSegment) -> None:
    """Offsets between two segments that an idle or an accepted gap entry must account for."""
    at = start
    for low, high in sorted([*state.gaps, *state.skipped]):
        if low <= at < high:
            at = high
    if at < after.ref.start:
        _offset_fault(state, after, f"offsets {at} to {after.ref.start - 1} before it are missing")


def _link_fault(state: LogState, segment: LiveSegment, how: str) -> None:
    state.faults.append(_segment_fault(state, segment, "segments linked", how))


def _offset_fault(state: LogState, segment: LiveSegment, how: str) -> None:
    state.faults.append(_segment_fault(state, segment, "offsets complete", how))


def _segment_fault(state: LogState, segment: LiveSegment, verdict: Verdict, how: str) -> Fault:
    return Fault(
        verdict=verdict,
        topic_id=state.topic_id,
        partition=state.partition,
        entry=segment.entry,
        segment=segment.ref.name,
        how=how,
    )


def _tasks(state: LogState, columns: bool) -> Iterator[SegmentTask]:
    published = sorted(state.published, key=lambda ref: ref.start)
    first = 0
    for segment in sorted(state.live.values(), key=lambda live: live.ref.start):
        ref = segment.ref
        originals: list[SegmentRef] = []
        while first < len(published) and published[first].start < ref.end:
            if published[first].start >= ref.start:
                originals.append(published[first])
            first += 1
        if sum(original.rows for original in originals) != ref.rows:
            originals = []  # an entry is missing: its fault says so
        yield SegmentTask(
            state.topic_id, state.partition, segment.entry, ref, segment.erasable, originals, columns
        )


def _outcomes(
    store: Store, tasks: list[SegmentTask], rows: int, workers: int | None
) -> Iterator[SegmentOutcome]:
    count = workers or (os.cpu_count() or 1 if rows >= PARALLEL_FROM_ROWS else 1)
    if count == 1 or len(tasks) == 1:
        yield from (check_segment(store, task) for task in tasks)
        return
    # Spawned, not forked: DuckDB and Arrow have threads that a fork would leave in pieces.
    context = multiprocessing.get_context("spawn")
    waiting_tasks = iter(tasks)
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        running = {_submit(pool, store.root, task) for task in islice(waiting_tasks, count * TASKS_AHEAD)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {_submit(pool, store.root, task) for task in islice(waiting_tasks, len(done))}
            for future in done:
                yield future.result()


def _submit(pool: ProcessPoolExecutor, root: Path, task: SegmentTask) -> Future[SegmentOutcome]:
    return pool.submit(_check_in_process, root, task)


def _check_in_process(root: Path, task: SegmentTask) -> SegmentOutcome:
    return check_segment(Store(root), task)

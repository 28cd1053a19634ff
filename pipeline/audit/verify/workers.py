"""Segments checked one after another, or side by side in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

from pipeline.audit.store import Store
from pipeline.audit.verify.segments import SegmentOutcome, SegmentTask, check_segment

PARALLEL_FROM_ROWS = 400_000
"""A smaller store is verified before further processes would have started."""
LOT_ROWS = 50_000
"""Segments are handed to a process in lots of so many rows, so that handing over costs nothing."""
LOTS_AHEAD = 2
"""Lots handed to each process before its outcomes are taken: bounds what waits."""

Checked = tuple[SegmentTask, SegmentOutcome]


def check_segments(store: Store, tasks: Sequence[SegmentTask], workers: int | None) -> Iterator[Checked]:
    """Check every segment; outcomes come as they are ready.

    `workers` is the number of processes, this one included; by default one a core, for stores that are
    worth it.
    """
    rows = sum(task.ref.rows for task in tasks)
    count = workers or (os.cpu_count() or 1 if rows >= PARALLEL_FROM_ROWS else 1)
    lots = _lots(tasks)
    if min(count, len(lots)) <= 1:
        for task in tasks:
            yield task, check_segment(store, task)
        return
    yield from _side_by_side(store, lots, min(count, len(lots)))


def _lots(tasks: Sequence[SegmentTask]) -> list[list[SegmentTask]]:
    """Large segments first, so that none is left over at the end; small ones together."""
    lots: list[list[SegmentTask]] = []
    room = 0
    for task in sorted(tasks, key=lambda one: -one.ref.rows):
        if room < task.ref.rows:
            lots.append([])
            room = LOT_ROWS
        lots[-1].append(task)
        room -= task.ref.rows
    return lots


def _side_by_side(store: Store, lots: list[list[SegmentTask]], workers: int) -> Iterator[Checked]:
    """This process checks too: it has everything loaded while the others still start."""
    # Spawned, not forked: Arrow has threads that a fork would leave in pieces.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers - 1, mp_context=context) as pool:
        running: dict[Future[list[SegmentOutcome]], list[SegmentTask]] = {}
        first = 0
        while first < len(lots) or running:
            while first < len(lots) and len(running) < (workers - 1) * LOTS_AHEAD:
                running[pool.submit(_check_lot, store, lots[first])] = lots[first]
                first += 1
            if first < len(lots):
                yield from zip(lots[-1], _check_lot(store, lots.pop()), strict=True)
            done, _ = wait(running, timeout=0 if first < len(lots) else None, return_when=FIRST_COMPLETED)
            for future in done:
                yield from zip(running.pop(future), future.result(), strict=True)


def _check_lot(store: Store, lot: list[SegmentTask]) -> list[SegmentOutcome]:
    return [check_segment(store, task) for task in lot]

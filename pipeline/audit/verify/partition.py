"""What the log of a partition and the names of its files say together: links, offsets, files too many."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

from pipeline.audit import chain
from pipeline.audit.store import CONTROL, FINDINGS
from pipeline.audit.verify.log_state import LiveSegment, LogState
from pipeline.audit.verify.report import Fault, Verdict

_FIRST_APPENDED = f"{0:020d}-"
"""Appended rows need no claim: the first segment of `_control` and `_findings` comes before any entry."""


def check_partition(state: LogState) -> None:
    """Judge the live segments by their log entries; faults and notes are added to `state`."""
    live = sorted(state.live.values(), key=lambda segment: (segment.ref.start, segment.ref.end))
    first = chain.first_prev(state.topic_id, state.partition).hex()
    if live and live[0].ref.prev != first:
        how = "does not start from the partition's first hash: what came before is missing"
        _fault(state, live[0], "segments linked", how)
    for before, after in pairwise(live):
        _check_neighbours(state, before, after)
    if live and not state.faults and state.end < live[-1].ref.end:
        _fault(state, live[-1], "offsets complete", "lies above the log's end")
    _check_loose_files(state)


def _check_neighbours(state: LogState, before: LiveSegment, after: LiveSegment) -> None:
    if after.ref.prev != before.ref.head:
        how = f"does not chain onto the segment before it, {before.ref.name}"
        _fault(state, after, "segments linked", how)
    if after.ref.start < before.ref.end:
        _fault(state, after, "offsets complete", f"overlaps the segment before it, {before.ref.name}")
    elif after.ref.start > before.ref.end:
        _check_gap(state, before.ref.end, after)


def _check_gap(state: LogState, start: int, after: LiveSegment) -> None:
    """Offsets between two segments that idle or accepted gap entries must account for."""
    at = start
    for low, high in state.passed[max(0, bisect_right(state.passed, (start, state.end)) - 1) :]:
        if low > at:
            break
        at = max(at, high)
    if at < after.ref.start:
        how = f"offsets {at} to {after.ref.start - 1} before it are missing"
        _fault(state, after, "offsets complete", how)


def _check_loose_files(state: LogState) -> None:
    loose = sorted(state.present - state.live.keys())
    if state.entries:
        for name in loose:
            state.note(
                f"no log entry makes {name} live: left by a writer that stopped, or its entry was cut off"
            )
    elif state.topic_id in (CONTROL, FINDINGS) and all(name.startswith(_FIRST_APPENDED) for name in loose):
        for name in loose:
            state.note(
                f"there is no log, only {name}: its append was cut short, or a checkpoint knows better"
            )
    elif loose:
        state.fault(0, f"there is no log, though {len(loose)} segment files are there")


def _fault(state: LogState, segment: LiveSegment, verdict: Verdict, how: str) -> None:
    state.faults.append(
        Fault(
            verdict=verdict,
            topic_id=state.topic_id,
            partition=state.partition,
            entry=segment.entry,
            segment=segment.ref.name,
            how=how,
        )
    )

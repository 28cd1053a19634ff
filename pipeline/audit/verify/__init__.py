"""Verification: the whole store recomputed from disk, apart from the state of any writer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipeline.audit.checkpoint.note import PublicKey
from pipeline.audit.store import CONTROL, Store
from pipeline.audit.verify.checkpoints import check_checkpoints
from pipeline.audit.verify.entries import read_log
from pipeline.audit.verify.erased import Count, ranges_within
from pipeline.audit.verify.erasures import check_erasures, read_orders
from pipeline.audit.verify.log_state import LiveSegment, LogState
from pipeline.audit.verify.partition import check_partition
from pipeline.audit.verify.report import (
    VERDICTS,
    Fault,
    Judgement,
    Note,
    Outcome,
    Verdict,
    VerifyReport,
    utc,
)
from pipeline.audit.verify.segments import SegmentOutcome, SegmentTask
from pipeline.audit.verify.workers import check_segments

__all__ = ["VERDICTS", "Fault", "Note", "Outcome", "Verdict", "VerifyReport", "Wanted", "verify_store"]

MAX_LOOKS_AGAIN = 20
"""So often the logs are read anew because files were replaced while the store was verified."""
SHOWN_ACCEPTED = 20

Place = tuple[str, int]
Progress = Callable[[int, int], None]
"""Called with the rows verified so far and the rows there are, as the log states them."""


@dataclass(frozen=True)
class Wanted:
    """What to verify, and with what. Logs, links and checkpoints are verified as a whole in any case."""

    columns: bool = True
    """Compare the typed columns with the records."""
    since_ms: int | None = None
    """Only rows of segments that end at or after this time."""
    partitions: frozenset[Place] | None = None
    """Only rows of these partitions."""
    keys: Sequence[PublicKey] = ()
    """Who may have signed checkpoints."""
    anchors: Sequence[bytes] = ()
    """Checkpoints that were kept outside of the store."""


def verify_store(
    store: Store,
    wanted: Wanted | None = None,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Recompute everything in `store` and say what does not hold.

    Reads logs, live segments and checkpoints only; snapshots, catalog and staging play no part. Memory a
    process: the largest segment's file, 100 bytes a row of it, and what `read_log` says. `workers` is the
    number of processes, by default one a core for stores that are worth it. Raises StoreError where there
    is none.
    """
    started = time.perf_counter()
    store.require()
    run = _Run(store, wanted or Wanted(), workers, progress)
    run.check()
    return run.report(time.perf_counter() - started)


@dataclass
class _Run:
    store: Store
    wanted: Wanted
    workers: int | None
    progress: Progress | None
    judgement: Judgement = field(default_factory=Judgement)
    states: dict[Place, LogState] = field(default_factory=dict[Place, LogState])
    checked: set[tuple[str, int, str]] = field(default_factory=set[tuple[str, int, str]])
    outcomes: dict[tuple[str, int, str], SegmentOutcome] = field(
        default_factory=dict[tuple[str, int, str], SegmentOutcome]
    )
    rows: int = 0
    total_rows: int = 0
    left_out_segments: int = 0
    left_out_rows: int = 0

    def check(self) -> None:
        """Logs, then rows, then what ties them together."""
        for place in _partitions(self.store):
            self._read(place)
        for _ in range(MAX_LOOKS_AGAIN):
            if not self._check_rows():
                break
        for state in self.states.values():
            self.judgement.add(state.faults, state.notes)
        # Read once more, after every other log: an order stands before what it orders.
        orders = read_orders(self.store, read_log(self.store, CONTROL, 0))
        check_erasures(self.judgement, list(self.states.values()), orders, self._erased())
        self._check_checkpoints()
        self._describe()

    def _read(self, place: Place) -> LogState:
        state = read_log(self.store, *place)
        check_partition(state)
        self.states[place] = state
        return state

    def _check_rows(self) -> bool:
        """Whether files were missing that a replacement had taken away since the log was read: look again."""
        tasks = [task for state in self.states.values() for task in self._tasks(state)]
        self.total_rows = self.rows + sum(task.ref.rows for task in tasks)
        gone: list[tuple[SegmentTask, SegmentOutcome]] = []
        for task, outcome in check_segments(self.store, tasks, self.workers):
            if outcome.is_missing:
                gone.append((task, outcome))
            else:
                self._add(task, outcome)
        places = {(task.topic_id, task.partition) for task, _ in gone}
        live = {place: self._read(place).live for place in places}
        looks_again = False
        for task, outcome in gone:
            if task.ref.name in live[task.topic_id, task.partition]:
                self._add(task, outcome)
            else:
                looks_again = True
        for place, name in [(key[:2], key[2]) for key in self.outcomes if key[:2] in live]:
            if name not in live[place]:
                del self.outcomes[*place, name]  # what replaced it is counted in its stead
        return looks_again

    def _add(self, task: SegmentTask, outcome: SegmentOutcome) -> None:
        self.judgement.add(outcome.faults)
        self.outcomes[task.topic_id, task.partition, task.ref.name] = outcome._replace(faults=[])
        self.rows += outcome.rows
        if self.progress is not None:
            self.progress(min(self.rows, self.total_rows), self.total_rows)

    def _tasks(self, state: LogState) -> list[SegmentTask]:
        place = (state.topic_id, state.partition)
        live = sorted(state.live.values(), key=lambda one: one.ref.start)
        new = [one for one in live if (*place, one.ref.name) not in self.checked]
        asked = [one for one in new if self._is_asked(place, one)]
        self.left_out_segments += len(new) - len(asked)
        self.left_out_rows += sum(one.ref.rows for one in new) - sum(one.ref.rows for one in asked)
        self.checked.update((*place, one.ref.name) for one in new)
        return [
            SegmentTask(
                topic_id=state.topic_id,
                partition=state.partition,
                entry=one.entry,
                ref=one.ref,
                originals=state.originals.within(one.ref),
                erased=ranges_within(state.erased, one.ref),
                columns=self.wanted.columns,
            )
            for one in asked
        ]

    def _is_asked(self, place: Place, segment: LiveSegment) -> bool:
        wanted, ref = self.wanted, segment.ref
        if wanted.partitions is not None and place not in wanted.partitions:
            return False
        times = [time_ms for time_ms in (ref.max_event_ms, ref.max_broker_ms) if time_ms is not None]
        return wanted.since_ms is None or max(times, default=segment.at_ms) >= wanted.since_ms

    def _erased(self) -> dict[str, Count]:
        counts: dict[str, Count] = {}
        for outcome in self.outcomes.values():
            for erasure, count in outcome.erased.items():
                counts[erasure] = counts.get(erasure, Count()).plus(count)
        return counts

    def _check_checkpoints(self) -> None:
        outcome = check_checkpoints(self.store, self.wanted.keys, self.wanted.anchors)
        self.judgement.add(outcome.faults, outcome.notes)
        self.judgement.unchecked |= outcome.unchecked
        for verdict, lines in outcome.details.items():
            for line in lines:
                self.judgement.detail(verdict, line)

    def _describe(self) -> None:
        judgement = self.judgement
        if not self.wanted.columns:
            judgement.not_checked("columns match the records", "left out by --no-columns")
        empty = sum(outcome.empty_offsets for outcome in self.outcomes.values())
        passed = sum(len(state.passed) for state in self.states.values())
        accepted = [line for state in self.states.values() for line in state.accepted]
        if passed - len(accepted) > 0 or empty:
            judgement.detail(
                "offsets complete",
                f"offsets without rows, which are legitimate: {empty:,} within segments, and "
                f"{max(0, passed - len(accepted)):,} runs that idle entries passed by",
            )
        for line in accepted[:SHOWN_ACCEPTED]:
            judgement.detail("offsets complete", line)
        if len(accepted) > SHOWN_ACCEPTED:
            judgement.detail("offsets complete", f"… and {len(accepted) - SHOWN_ACCEPTED} more accepted gaps")

    def report(self, seconds: float) -> VerifyReport:
        """What it all adds up to."""
        judgement, order = self.judgement, {verdict: i for i, verdict in enumerate(VERDICTS)}
        faults = sorted(
            judgement.faults,
            key=lambda f: (order[f.verdict], f.topic_id, f.partition, f.offset or 0, f.entry or 0),
        )
        return VerifyReport(
            store=self.store.name,
            partitions=len(self.states),
            entries=sum(state.entries for state in self.states.values()),
            segments=len(self.outcomes),
            rows=sum(outcome.rows for outcome in self.outcomes.values()),
            bytes=sum(outcome.bytes for outcome in self.outcomes.values()),
            seconds=round(seconds, 3),
            outcomes=judgement.outcomes(),
            faults=faults,
            faults_left_off=sum(judgement.counts.values()) - len(faults),
            notes=judgement.notes,
            left_out=self._left_out(),
        )

    def _left_out(self) -> list[str]:
        if not self.left_out_segments:
            return []
        wanted = self.wanted
        asked = [f"the rows since {utc(wanted.since_ms)}"] if wanted.since_ms is not None else []
        if wanted.partitions is not None:
            names = ", ".join(f"{topic_id}/{partition}" for topic_id, partition in sorted(wanted.partitions))
            asked.append(f"the rows of {names}")
        return [
            f"{self.left_out_rows:,} rows in {self.left_out_segments:,} segments: only {' and '.join(asked)} "
            "were asked for. Logs, links and checkpoints were verified as a whole."
        ]


def _partitions(store: Store) -> list[Place]:
    """Every partition that has a log or a segment."""
    found = set(store.partitions())
    for topic_id in store.objects.names("segments"):
        names = store.objects.names(f"segments/{topic_id}")
        found.update((topic_id, int(name)) for name in names if name.isdecimal())
    return sorted(found)

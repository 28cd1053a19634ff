"""What is merged when: tiers within the hour, hour files, day files. Few files, few rewrites, days apart."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from support.audit import START_MS

from pipeline.audit.compact_plan import MAX_SMALL_FILES, plan_runs
from pipeline.audit.store import StoreConfig
from schemas.log_entry import SegmentRef

SECOND, HOUR, DAY = 1000, 3_600_000, 86_400_000
TARGET = 64_000_000


def config(fan_in: int = 16, target: int = TARGET) -> StoreConfig:
    return StoreConfig.model_validate(
        {"path": Path(), "compact_fan_in_files": fan_in, "compact_target_bytes": target}
    )


def ref_of(bytes_: int, start: int, ms: int | None = None) -> SegmentRef:
    return SegmentRef(
        name=str(start),
        sha256="",
        start=start,
        end=start + 1,
        rows=1,
        bytes=bytes_,
        prev="",
        head="",
        merkle_root="",
        max_broker_ms=ms,
    )


def merged(run: Sequence[SegmentRef], smaller: float = 1.0) -> SegmentRef:
    """What compaction makes of a run; the bytes shrink as larger files compress better."""
    latest = max((ref.max_broker_ms for ref in run if ref.max_broker_ms is not None), default=None)
    return ref_of(int(smaller * sum(ref.bytes for ref in run)), run[0].start, latest)


class Simulation:
    """Sizes and times only: what is live, how much was written, and the most live files ever."""

    def __init__(self, settings: StoreConfig) -> None:
        self.live: list[SegmentRef] = []
        self.settings = settings
        self.sealed = self.written = self.most = 0
        self.check: Callable[[list[SegmentRef]], None] = lambda run: None

    def seal(self, bytes_: int, ms: int | None = None) -> None:
        self.live.append(ref_of(bytes_, self.sealed, ms))
        self.sealed += 1

    def compact(self, idle_until_ms: int | None = None) -> int:
        runs = plan_runs(self.live, self.settings, idle_until_ms)
        for run in runs:
            self.check(run)
            at = next(i for i, ref in enumerate(self.live) if ref is run[0])
            assert self.live[at : at + len(run)] == run
            self.live[at : at + len(run)] = [merged(run)]
            self.written += self.live[at].bytes
        self.most = max(self.most, len(self.live))
        return len(runs)

    def settle(self, idle_until_ms: int | None = None) -> None:
        """Compact until nothing is due."""
        for _ in range(50):
            if not self.compact(idle_until_ms):
                return
        raise AssertionError("does not settle")


def one_day(run: list[SegmentRef]) -> None:
    days = {ref.max_broker_ms // DAY for ref in run if ref.max_broker_ms is not None}
    assert len(days) == 1


sizes = st.integers(1, 4_000_000)
times = st.one_of(st.none(), st.integers(0, 72).map(lambda hour: START_MS + hour * HOUR))


@given(st.lists(st.tuples(sizes, times), max_size=60), st.integers(2, 6), st.one_of(st.none(), times))
def test_runs_are_neighbours_that_do_not_overlap_and_fit_the_target(
    segments: list[tuple[int, int | None]], fan_in: int, idle: int | None
) -> None:
    refs = [ref_of(size, i, ms) for i, (size, ms) in enumerate(segments)]
    planned = plan_runs(refs, config(fan_in, 3_000_000), idle)
    starts = [ref.start for run in planned for ref in run]
    assert len(starts) == len(set(starts))
    for run in planned:
        assert len(run) >= 2
        assert [ref.start for ref in run] == list(range(run[0].start, run[0].start + len(run)))
        assert sum(ref.bytes for ref in run) <= 3_000_000


def test_without_times_sizes_alone_decide() -> None:
    """`_control` and `_findings`: 40,000 seals of 40 kB, a pass after every ten."""
    simulation = Simulation(config())
    for i in range(40_000):
        simulation.seal(40_000)
        if i % 10 == 0:
            simulation.compact()
    assert simulation.most < 130
    assert simulation.written < 5 * 40_000 * 40_000


def test_days_of_a_busy_partition() -> None:
    """Four days, a seal every ten seconds: few files at every moment, hour files, then day files."""
    simulation = Simulation(config())
    simulation.check = one_day
    for i in range(4 * 8_640):
        simulation.seal(40_000, START_MS + i * 10 * SECOND)
        if i % 6 == 0:
            simulation.compact()
            today = [
                ref
                for ref in simulation.live
                if (ref.max_broker_ms or 0) >= START_MS + i * 10 * SECOND // DAY * DAY
            ]
            assert len(today) < 100
    assert simulation.most < 150
    assert simulation.written < 8 * 40_000 * 4 * 8_640
    first_day = [ref for ref in simulation.live if (ref.max_broker_ms or 0) < START_MS + DAY]
    assert sum(ref.bytes for ref in first_day) == 40_000 * 8_640
    assert len(first_day) <= -(-40_000 * 8_640 // TARGET) * 2
    yesterday_hours = {(ref.max_broker_ms or 0) // HOUR for ref in simulation.live[-40:]}
    assert len(yesterday_hours) > 10


def test_an_hour_becomes_one_file_when_it_is_over() -> None:
    settings = config()
    hour = [ref_of(1000, i, START_MS + i * SECOND) for i in range(5)]
    assert plan_runs(hour, settings) == []
    next_hour = ref_of(1000, 5, START_MS + HOUR)
    assert plan_runs([*hour, next_hour], settings) == [hour]
    assert plan_runs(hour, settings, idle_until_ms=START_MS + HOUR - 1) == []
    assert plan_runs(hour, settings, idle_until_ms=START_MS + HOUR) == [hour]


def test_hours_of_today_stay_apart_and_a_day_that_is_over_is_merged() -> None:
    settings = config()
    hours = [ref_of(1000, i, START_MS + i * HOUR) for i in range(24)]
    assert plan_runs(hours, settings, idle_until_ms=START_MS + DAY - 1) == []
    assert plan_runs(hours, settings, idle_until_ms=START_MS + DAY) == [hours]
    assert plan_runs([*hours, ref_of(1000, 24, START_MS + DAY)], settings) == [hours]


def test_a_backlog_that_is_read_is_not_merged_again_and_again() -> None:
    """Rows of days ago are sealed now: their hour is over by the clock, but more of it comes."""
    simulation = Simulation(config())
    for i in range(2_000):
        simulation.seal(1_000_000, START_MS + i * 30 * SECOND)
        simulation.compact()
    assert simulation.written < 6 * 2_000 * 1_000_000


def test_neighbours_whose_clocks_differ_a_little_stay_together() -> None:
    simulation = Simulation(config())
    for i in range(2_000):
        simulation.seal(40_000, START_MS + HOUR - 1000 * SECOND + i * SECOND - (i % 2) * 40 * SECOND)
        simulation.compact()
    simulation.settle(START_MS + 3 * HOUR)
    assert len(simulation.live) == 2


def test_what_was_erased_stays_with_the_segment_before_it() -> None:
    day = [ref_of(1000, i, None if i == 3 else START_MS + i * SECOND) for i in range(6)]
    assert plan_runs([*day, ref_of(1000, 6, START_MS + DAY)], config()) == [day]


def test_a_quiet_partition_does_not_keep_a_file_a_day_for_ever() -> None:
    simulation = Simulation(config())
    for day in range(800):
        for hour in range(0, 24, 6):
            simulation.seal(5_000, START_MS + day * DAY + hour * HOUR)
        simulation.settle(START_MS + (day + 1) * DAY)
    assert simulation.most < MAX_SMALL_FILES + 10
    assert simulation.written < 40 * 800 * 20_000
    newest = [(ref.max_broker_ms or 0) // DAY for ref in simulation.live[-20:]]
    assert all(right - left == 1 for left, right in pairwise(newest))


def test_a_target_of_files_that_compress_better_settles() -> None:
    """A week of tiny segments that compaction comes to late, each pass making them smaller."""
    refs = [ref_of(10_000, i, START_MS + i * 60 * SECOND) for i in range(7 * 1440)]
    settings, written = config(target=4_000_000), 0
    for _ in range(20):
        runs = plan_runs(refs, settings, START_MS + 8 * DAY)
        if not runs:
            break
        for run in runs:
            one_day(run)
            at = next(i for i, ref in enumerate(refs) if ref is run[0])
            refs[at : at + len(run)] = [merged(run, 0.5)]
            written += refs[at].bytes
    assert plan_runs(refs, settings, START_MS + 8 * DAY) == []
    assert len(refs) <= 7 * 3
    assert written < 2 * 7 * 1440 * 10_000

"""Which neighbouring segments to merge: small ones in tiers, then hour files, then day files. Pure.

Within the hour that rows still come for, sizes fall into tiers, each a fan-in larger than the one below, and
neighbours of one tier are merged once there are enough of them. The files of an hour that is over become one,
those of a day that is over become files of the target size: a row is rewritten a handful of times in all, and
retention by day rewrites few files. Hours and days are those of the brokers' time, UTC.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from pipeline.audit.store import StoreConfig
from schemas.log_entry import SegmentRef

SMALLEST_TIER_BYTES = 64 * 1024
ENTRY_MAX_INPUTS = 1000
MAX_SMALL_FILES = 64
"""Beyond so many files below half the target in days that are over, the oldest are merged across days."""
_HOUR_MS = 3_600_000
_DAY_HOURS = 24

Run = list[SegmentRef]


class _Timed(NamedTuple):
    """A live segment and the hour that it belongs to, None where nothing says."""

    ref: SegmentRef
    hour: int | None

    @property
    def day(self) -> int | None:
        return None if self.hour is None else self.hour // _DAY_HOURS


def plan_runs(live: Sequence[SegmentRef], config: StoreConfig, idle_until_ms: int | None = None) -> list[Run]:
    """The runs of neighbours to merge now; `live` is in order.

    `idle_until_ms` is the time before which nothing more can come, None where that is not known: an hour or
    a day is over once rows of a later one follow, or nothing more can come for it.
    """
    timed = _timed(live)
    last = timed[-1] if timed else None
    complete_hour = -1 if idle_until_ms is None else idle_until_ms // _HOUR_MS
    runs: list[Run] = []
    over: list[SegmentRef] = []
    for day, of_day in groupby(timed, key=lambda one: one.day):
        segments = list(of_day)
        if day is not None and (segments[-1] is not last or (day + 1) * _DAY_HOURS <= complete_hour):
            runs += _full_runs([one.ref for one in segments], config)
            over += [one.ref for one in segments]
            continue
        for hour, of_hour in groupby(segments, key=lambda one: one.hour):
            refs = list(of_hour)
            if hour is not None and (refs[-1] is not last or hour < complete_hour):
                runs += _full_runs([one.ref for one in refs], config)
            else:
                runs += _tier_runs([one.ref for one in refs], config)
    return runs or _across_days(over, config)


def _timed(live: Sequence[SegmentRef]) -> list[_Timed]:
    """Neighbours of almost one time share the later one's hour: clocks of brokers and producers differ a
    little, and what was erased has no time."""
    timed: list[_Timed] = []
    latest_ms: int | None = None
    for ref in live:
        ms = ref.max_broker_ms
        if latest_ms is None or (ms is not None and not 0 <= latest_ms - ms <= _HOUR_MS):
            latest_ms = ms
        timed.append(_Timed(ref, None if latest_ms is None else latest_ms // _HOUR_MS))
    return timed


def _full_runs(refs: Sequence[SegmentRef], config: StoreConfig) -> list[Run]:
    """The files of a period that is over, gathered up to the target size."""
    small = [i for i, ref in enumerate(refs) if ref.bytes < config.compact_target_bytes]
    return [[refs[i] for i in chunk] for chunk, _ in _chunks(refs, small, config) if len(chunk) > 1]


def _across_days(over: Sequence[SegmentRef], config: StoreConfig) -> list[Run]:
    """The oldest small files, where a quiet partition has kept one a day for months."""
    small = [ref.bytes < config.compact_target_bytes // 2 for ref in over]
    if sum(small) <= MAX_SMALL_FILES:
        return []
    kept = MAX_SMALL_FILES // 2
    newest = [i for i, is_small in enumerate(small) if is_small][-kept]
    oldest = [i for i in range(newest) if small[i]]
    return [[over[i] for i in chunk] for chunk, _ in _chunks(over, oldest, config) if len(chunk) > 1]


def _tier_runs(refs: Sequence[SegmentRef], config: StoreConfig) -> list[Run]:
    """Files of one size, enough of them. Small tiers go first."""
    tiers = [_tier(ref, config) for ref in refs]
    taken: set[int] = set()
    runs: list[Run] = []
    for limit in range(max(tiers, default=0) + 1):
        due = [
            i
            for i, ref in enumerate(refs)
            if i not in taken and tiers[i] <= limit and ref.bytes < config.compact_target_bytes
        ]
        for chunk, is_full in _chunks(refs, due, config):
            if _is_worth_it([refs[i].bytes for i in chunk], is_full, config):
                taken.update(chunk)
                runs.append([refs[i] for i in chunk])
    return runs


def _tier(ref: SegmentRef, config: StoreConfig) -> int:
    tier, limit = 0, SMALLEST_TIER_BYTES
    while ref.bytes >= limit:
        tier, limit = tier + 1, limit * config.compact_fan_in_files
    return tier


def _chunks(
    refs: Sequence[SegmentRef], due: Sequence[int], config: StoreConfig
) -> Iterator[tuple[list[int], bool]]:
    """Neighbours among `due`, at most the target size together, and whether the next one had no more room."""
    chunk: list[int] = []
    size = 0
    for i in due:
        follows = bool(chunk) and i == chunk[-1] + 1
        has_room = size + refs[i].bytes <= config.compact_target_bytes and len(chunk) < ENTRY_MAX_INPUTS
        if chunk and not (follows and has_room):
            yield chunk, follows
            chunk, size = [], 0
        chunk.append(i)
        size += refs[i].bytes
    if chunk:
        yield chunk, False


def _is_worth_it(sizes: Sequence[int], is_full: bool, config: StoreConfig) -> bool:
    """Enough files, and of one size: a large one is not rewritten again for a few small ones."""
    enough = 2 if is_full else config.compact_fan_in_files
    return len(sizes) >= enough and (is_full or 2 * sum(sizes) >= config.compact_fan_in_files * max(sizes))

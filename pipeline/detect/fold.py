"""Detection as a fold: sealed signals of all partitions in, findings out, state exact in a snapshot.

What comes out as a set of findings depends on each partition's own order and on which partitions
are known, never on how partitions interleave or how rows are cut into batches.
"""

from typing import Any

import numpy as np
import polars as pl

from detectors.acting_after_trip import ActingAfterTrip
from detectors.base import CountingDetector, Learns, RuleDetector, Watermark
from detectors.evidence import Ints
from detectors.key import Key
from detectors.places import Hashes
from detectors.window import DAY_MS, MINUTE_MS
from pipeline.detect import snapshot
from pipeline.detect.accepted import Accepted
from pipeline.detect.build import call_tests, counting_detectors, rule_detectors
from pipeline.detect.calls import Calls
from pipeline.detect.columns import derive
from pipeline.detect.config import DetectConfig
from pipeline.detect.findings import Findings
from pipeline.detect.floors import Floors
from pipeline.detect.guard import OwnDetectors
from pipeline.detect.minutes import Minutes
from pipeline.detect.model import Acceptance, Found, Partition, SignalBatch, Trip
from pipeline.detect.overrides import Overrides
from pipeline.detect.recent import Recent
from pipeline.detect.redacted import with_redacted
from pipeline.detect.rows import ErrorRuns, Repeats
from pipeline.detect.slots import Slots
from pipeline.detect.statistics import Progress
from pipeline.detect.trips import Trips
from pipeline.errors import ConfigError

EVERY_ROW = pl.col("offset").is_not_null()
"""Makes a column of a detector's constant: the sum of a literal would be one, not one a row."""
COUNT_BY = ["key", "late", "minute", "step"]


class Detection:
    """Observe batches in order per partition; what lies below `ends` was seen and is dropped."""

    def __init__(self, config: DetectConfig) -> None:
        self._config = config
        self.config_hash = config.hash
        self._own = OwnDetectors(config)
        self._detectors: list[CountingDetector] = [*counting_detectors(config), *self._own.counting_detectors]
        self._floored = [d for d in self._detectors if d.floor is not None]
        self._slots = Slots(config.max_keys)
        self._minutes = Minutes(self._detectors, self._slots, config.max_pending)
        self._calls = Calls(call_tests(config), self._slots, config.max_pending)
        self._repeats = Repeats(config.max_ids)
        self._runs: dict[Partition, ErrorRuns] = {}
        self._rules: list[RuleDetector] = [*rule_detectors(config), *self._own.rule_detectors]
        self._acting = ActingAfterTrip(config.acting_after_trip)
        self._trips = Trips(self._acting, config.max_keys)
        self._accepted = Accepted()
        self._recent = Recent(self._detectors)
        self._overrides = Overrides(config.overrides)
        self._findings = Findings(config, self._overrides, self._detectors, self._recent)
        self._floors = Floors(
            [self._findings.least_limit(one) for one in self._floored],
            lambda floor, key: self._findings.floor_limit(self._floored[floor], key),
        )
        self.ends: dict[Partition, int] = {}
        """The sealed end consumed of each partition."""
        self.newest_ms: dict[Partition, int | None] = {}
        """The newest event time of each known partition; None: has not spoken. None holds all others back."""
        self.newest_broker_ms: dict[Partition, int | None] = {}
        self.halted: set[Partition] = set()
        """The partitions that nobody waits for since they are halted."""
        self.late_events = 0
        self.repeats = 0

    @property
    def watermark_ms(self) -> int | None:
        """Event time below which every minute is complete; None while some partition has not spoken."""
        newest = [t for t in self.newest_ms.values() if t is not None]
        if not newest or len(newest) < len(self.newest_ms):
            return None
        return min(newest) - int(self._config.lateness_s * 1000)

    @property
    def keys(self) -> int:
        """Agents (with environment and kind of source) that have a baseline or are learning one."""
        return len(self._slots)

    @property
    def agents(self) -> set[str]:
        """The agents that are known, those that a snapshot tells of included."""
        return self._slots.agents

    @property
    def missed_events(self) -> int:
        """Events that came after their minute was judged: of partitions that nobody had joined."""
        return self._minutes.missed_events

    def join(self, partitions: list[Partition]) -> None:
        """Make partitions known before their first rows, so that minutes wait for them."""
        for partition in partitions:
            self.halted.discard(partition)
            self.newest_ms.setdefault(partition, None)
            self.newest_broker_ms.setdefault(partition, None)

    def leave(self, partition: Partition, *, is_halted: bool = False) -> list[Found]:
        """Wait no longer for a partition: it is halted, or its topic is gone. `ends` keeps it."""
        if is_halted:
            self.halted.add(partition)
        self.newest_ms.pop(partition, None)
        self.newest_broker_ms.pop(partition, None)
        return self._findings.kept(self._close())

    def trips(self, trips: list[Trip]) -> list[Found]:
        """Take in trips from `_control`, new or lifted: before the events that follow them."""
        if not self._acting.config.enabled:
            return []
        found = [self._findings.rule(self._acting, one) for one in self._trips.learn(trips)]
        return self._findings.kept(found)

    def accept(self, said: list[Acceptance]) -> None:
        """Take in which agents' learning begins anew: before the events of that minute. Each counts once."""
        self._accepted.learn(said)

    def observe(self, batch: SignalBatch) -> list[Found]:
        """Fold one batch in. Findings of rules and floors come at once, of statistics at the watermark."""
        partition = (batch.topic_id, batch.partition)
        self.join([partition])
        done = self.ends.get(partition, 0)
        signals = batch.signals
        if batch.start < done and signals.height:
            signals = signals.filter(pl.col("offset") >= done)
        found = self._observe_rows(partition, signals) if signals.height else []
        if batch.idle_until_ms is not None and batch.end >= done:
            _raise(self.newest_ms, partition, batch.idle_until_ms)
            _raise(self.newest_broker_ms, partition, batch.idle_until_ms)
        self.ends[partition] = max(done, batch.end)
        return self._findings.kept(found + self._close())

    def _observe_rows(self, partition: Partition, signals: pl.DataFrame) -> list[Found]:
        lateness_ms = int(self._config.lateness_s * 1000)
        derived = derive(signals, self.newest_ms[partition], lateness_ms)
        rows = with_redacted(self._mark(partition, derived))
        once = rows.filter(~pl.col("repeat")) if rows["repeat"].any() else rows
        once = self._own.with_columns(once)
        self._advance(partition, rows)
        self._recent.add(once)
        punctual = once.filter(~pl.col("late")) if once["late"].any() else once
        self._slots.meet(punctual)
        self._calls.add(punctual)
        found = [
            self._findings.rule(rule, one)
            for rule in self._rules
            for one in rule.observe(self._overrides.watched(rule.name, once))
        ]
        if self._acting.config.enabled:
            found += [
                self._findings.rule(self._acting, one)
                for one in self._trips.observe(self._overrides.watched(self._acting.name, once))
            ]
        return found + self._count(once)

    def _mark(self, partition: Partition, rows: pl.DataFrame) -> pl.DataFrame:
        """Add `repeat`, `reused` and `in_error_run`: what needs the rows before."""
        runs = self._runs.setdefault(partition, ErrorRuns(self._config.max_keys))
        repeat, reused = self._repeats.mark(*(rows[name].to_numpy() for name in ("ids", "content", "day")))
        self.repeats += int(repeat.sum())
        in_error_run = runs.mark(rows["key"].to_numpy(), rows["failed"].fill_null(value=False).to_numpy())
        return rows.with_columns(
            pl.Series("repeat", repeat, pl.Boolean),
            pl.Series("reused", reused, pl.Boolean),
            pl.Series("in_error_run", in_error_run, pl.Boolean),
        )

    def _advance(self, partition: Partition, rows: pl.DataFrame) -> None:
        _raise(self.newest_ms, partition, rows["event_ms"].max())
        stamped = rows.filter(pl.col("broker_time_kind") == "append")
        if stamped.height:
            _raise(self.newest_broker_ms, partition, stamped["broker_time_ms"].max())

    def _count(self, rows: pl.DataFrame) -> list[Found]:
        """One grouping of the rows for all detectors; floors and minutes then add up small frames."""
        grouped = rows.group_by(COUNT_BY).agg(
            (pl.col("via") == "").first().alias("trusted"),
            pl.len().alias("events"),
            *(
                (expression & EVERY_ROW).sum().alias(f"{d.name}.{part}")
                for d in self._detectors
                for part, expression in (("hits", d.hits()), ("eligible", d.eligible()))
            ),
            *(d.floor_hits().sum().cast(pl.UInt32).alias(f"{d.name}.floor") for d in self._floored),
        )
        grouped = self._overrides.counted(grouped, rows, [d.name for d in self._detectors])
        self.late_events += int(grouped.filter("late")["events"].sum())
        self._minutes.add(grouped.filter(~pl.col("late")))
        reached = self._floors.add(grouped, [f"{d.name}.floor" for d in self._floored], rows)
        return [
            self._findings.floor(self._floored[r.floor], r, self._still_learning(r.hash_)) for r in reached
        ]

    def _still_learning(self, hash_: int) -> list[str]:
        slots = self._slots.find(np.array([hash_], dtype=np.uint64))
        progress = self._progress(slots) if slots[0] >= 0 else []
        return [name for name, one in progress if one.until_minute is not None]

    def _close(self) -> list[Found]:
        stamped = [t for t in self.newest_broker_ms.values() if t is not None]
        append_ms = min(stamped) if stamped and len(stamped) == len(self.newest_broker_ms) else None
        if append_ms is not None:
            self._floors.expire(append_ms)
        watermark = Watermark(self.watermark_ms, append_ms, self.newest_ms, bool(self.halted))
        if watermark.event_ms is None:
            return self._close_rules(watermark)
        # Not the watermark: ids are looked for by where their own partition is.
        self._repeats.expire(min(ms for ms in self.newest_ms.values() if ms is not None) // DAY_MS)
        minute, found = watermark.event_ms // MINUTE_MS, list[Found]()
        for one in self._accepted.due(minute):
            found += self._close_rules(watermark._replace(event_ms=one.from_minute * MINUTE_MS))
            found += self._close_minutes(one.from_minute)
            self._forget(one)
        found += self._close_rules(watermark) + self._close_minutes(minute)
        return found + [self._findings.statistical(moment) for moment in self._minutes.proven()]

    def _close_rules(self, watermark: Watermark) -> list[Found]:
        return [self._findings.rule(rule, one) for rule in self._rules for one in rule.close(watermark)]

    def _close_minutes(self, before_minute: int) -> list[Found]:
        moments, concluded = self._minutes.close(before_minute), self._calls.close(before_minute)
        self._slots.evict(self._waiting)
        found = [self._findings.statistical(moment) for moment in moments]
        return found + [self._findings.rule(detector, one) for detector, one in concluded]

    def _waiting(self) -> Hashes:
        """The keys whose minutes are still open."""
        return np.union1d(self._minutes.waiting(), self._calls.waiting())

    def _forget(self, accepted: Acceptance) -> None:
        whose = (accepted.environment, accepted.agent_id)
        self._slots.forget(*whose)
        for rule in self._rules:
            if isinstance(rule, Learns):
                rule.forget(*whose)

    def learning(self, agent_id: str, environment: str = "") -> list[tuple[Key, str, Progress]]:
        """How far each statistic is in learning an agent: (key, detector, progress)."""
        return [
            (self._slots.key(slot), name, one)
            for slot in self._slots.of_agent(environment, agent_id).tolist()
            for name, one in self._progress(np.array([slot]))
        ]

    def _progress(self, slot: Ints) -> list[tuple[str, Progress]]:
        minute = (self.watermark_ms or 0) // MINUTE_MS
        told = self._minutes.progress(slot, minute) | self._calls.progress(slot, minute)
        return [(name, one) for name, progress in told.items() for one in progress]

    def snapshot(self) -> bytes:
        """The exact state, with the ends it stands at. Goes on with findings as if never stopped."""
        return snapshot.encode(self.config_hash, self._state())

    @classmethod
    def restore(cls, config: DetectConfig, content: bytes) -> "Detection":
        """The state of a snapshot made with this configuration; raises ConfigError for another."""
        state = snapshot.decode(content, config.hash)
        if state is None:
            raise ConfigError(
                "the detection snapshot was made with another configuration or version; "
                "detection must be rebuilt from the sealed rows"
            )
        detection = cls(config)
        detection._load(state)
        return detection

    def _state(self) -> dict[str, Any]:
        return {
            "partitions": [
                (
                    *p,
                    self.ends.get(p, 0),
                    p in self.newest_ms,
                    self.newest_ms.get(p),
                    self.newest_broker_ms.get(p),
                )
                for p in self.ends | self.newest_ms
            ],
            "runs": [(*p, runs.state()) for p, runs in self._runs.items()],
            "repeats": self._repeats.state(),
            "floors": self._floors.state(),
            "slots": self._slots.state(),
            "minutes": self._minutes.state(),
            "calls": self._calls.state(),
            "rules": {rule.name: rule.state() for rule in self._rules},
            "trips": self._trips.state(),
            "accepted": self._accepted.state(),
            "halted": sorted(self.halted),
            "counters": (self.late_events, self.repeats),
        }

    def _load(self, state: dict[str, Any]) -> None:
        for topic_id, number, end, known, newest, newest_broker in state["partitions"]:
            partition = (topic_id, number)
            self.ends[partition] = end
            if known:
                self.newest_ms[partition] = newest
                self.newest_broker_ms[partition] = newest_broker
        for topic_id, number, outcomes in state["runs"]:
            self._runs[(topic_id, number)] = ErrorRuns(self._config.max_keys)
            self._runs[(topic_id, number)].load(outcomes)
        self._repeats.load(state["repeats"])
        self._floors.load(state["floors"])
        self._slots.load(state["slots"])
        self._minutes.load(state["minutes"])
        self._calls.load(state["calls"])
        for rule in self._rules:
            rule.load(state["rules"][rule.name])
        self._trips.load(state["trips"])
        self._accepted.load(state["accepted"])
        self.halted = {(topic_id, number) for topic_id, number in state["halted"]}
        self.late_events, self.repeats = state["counters"]


def _raise(times: dict[Partition, int | None], partition: Partition, value: Any) -> None:
    """Times only go forward."""
    before = times.get(partition)
    if value is not None and (before is None or value > before):
        times[partition] = int(value)

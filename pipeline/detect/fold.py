"""Detection as a fold: sealed signals of all partitions in, findings out, state exact in a snapshot.

What comes out as a set of findings depends on each partition's own order and on which partitions
are known, never on how partitions interleave or how rows are cut into batches.
"""

from collections.abc import Mapping, Set
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
from pipeline.detect.model import Acceptance, Found, Marker, Part, Partition, SignalBatch, Trip
from pipeline.detect.overrides import Overrides
from pipeline.detect.progress import PartitionTimes
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

    def __init__(self, config: DetectConfig, part: Part = "all") -> None:
        """`part`: which of the detectors run here, where shards share them."""
        self._config = config
        self.config_hash = config.hash
        self._own = OwnDetectors(config, part)
        counting = [*counting_detectors(config), *self._own.counting_detectors]
        self._detectors: list[CountingDetector] = [] if part == "fleet" else counting
        self._floored = [d for d in self._detectors if d.floor is not None]
        self._slots = Slots(config.max_keys)
        self._minutes = Minutes(self._detectors, self._slots, config.max_pending)
        tests = [] if part == "fleet" else call_tests(config)
        self._calls = Calls(tests, self._slots, config.max_pending)
        self._repeats = Repeats(config.max_ids)
        self._runs: dict[Partition, ErrorRuns] = {}
        self._rules: list[RuleDetector] = [*rule_detectors(config, part), *self._own.rule_detectors]
        self._judges_trips = config.acting_after_trip.enabled and part != "fleet"
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
        self._times = PartitionTimes(int(config.lateness_s * 1000))
        self.late_events = 0
        self.repeats = 0

    @property
    def watermark_ms(self) -> int | None:
        """Event time below which every minute is complete; None while some partition has not spoken."""
        return self._times.watermark().event_ms

    @property
    def ends(self) -> Mapping[Partition, int]:
        """The sealed end consumed of each partition."""
        return self._times.ends

    @property
    def newest_ms(self) -> Mapping[Partition, int | None]:
        """The newest event time of each partition that is waited for; None: has not spoken."""
        return self._times.newest_ms

    @property
    def halted(self) -> Set[Partition]:
        """The partitions that nobody waits for since they are halted."""
        return self._times.halted

    @property
    def keys(self) -> int:
        """Agents (with environment and kind of source) that have a baseline or are learning one."""
        return len(self._slots)

    @property
    def agents(self) -> set[str]:
        """The agents that are known, those that a snapshot tells of included."""
        return self._slots.agents | self._times.spoken

    def join(self, partitions: list[Partition]) -> None:
        """Make partitions known before their first rows, so that minutes wait for them."""
        self._times.join(partitions)

    def leave(self, partition: Partition, *, is_halted: bool = False) -> list[Found]:
        """Wait no longer for a partition: it is halted, or its topic is gone. `ends` keeps it."""
        self._times.leave(partition, is_halted=is_halted)
        return self._findings.kept(self._close())

    def trips(self, trips: list[Trip]) -> list[Found]:
        """Take in trips from `_control`, new or lifted: before the events that follow them."""
        if not self._judges_trips:
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
        found = self._observe_rows(partition, signals, batch.marker) if signals.height else []
        if batch.marker is not None and batch.end > done:
            self._times.pass_marker(partition, batch.marker)
        if batch.idle_until_ms is not None and batch.end >= done:
            self._times.pass_idle(partition, batch.idle_until_ms)
        self._times.ends[partition] = max(done, batch.end)
        return self._findings.kept(found + self._close())

    def _observe_rows(
        self, partition: Partition, signals: pl.DataFrame, marker: Marker | None
    ) -> list[Found]:
        derived = derive(signals, self._times.newest_ms[partition], self._times.lateness_ms)
        rows = with_redacted(self._mark(partition, derived))
        once = rows.filter(~pl.col("repeat")) if rows["repeat"].any() else rows
        once = self._own.with_columns(once)
        if marker is None:
            self._times.pass_rows(partition, rows)
        self._recent.add(once)
        punctual = once.filter(~pl.col("late")) if once["late"].any() else once
        self._slots.meet(punctual)
        self._calls.add(punctual)
        found = [
            self._findings.rule(rule, one)
            for rule in self._rules
            for one in rule.observe(self._overrides.watched(rule.name, once))
        ]
        if self._judges_trips:
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
        watermark, reached_ms = self._times.watermark(), self._times.reached_ms
        if watermark.append_ms is not None:
            self._floors.expire(watermark.append_ms)
        if watermark.event_ms is None or reached_ms is None:
            return self._close_rules(watermark)
        # Not the watermark: ids are looked for by where their own partition is.
        self._repeats.expire(reached_ms // DAY_MS)
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
    def restore(cls, config: DetectConfig, content: bytes, part: Part = "all") -> "Detection":
        """The state of a snapshot made with this configuration; raises ConfigError for another."""
        state = snapshot.decode(content, config.hash)
        if state is None:
            raise ConfigError(
                "the detection snapshot was made with another configuration or version; "
                "detection must be rebuilt from the sealed rows"
            )
        detection = cls(config, part)
        detection._load(state)
        return detection

    def _memories(self) -> dict[str, Any]:
        """What remembers, by the name that a snapshot has for it, in the order in which it is loaded."""
        kept = {"repeats": self._repeats, "floors": self._floors, "slots": self._slots}
        tests = {"minutes": self._minutes, "calls": self._calls}
        return {**kept, **tests, "trips": self._trips, "accepted": self._accepted}

    def _state(self) -> dict[str, Any]:
        return {
            "partitions": self._times.state(),
            "runs": [(*p, runs.state()) for p, runs in self._runs.items()],
            "rules": {rule.name: rule.state() for rule in self._rules},
            "halted": sorted(self.halted),
            "spoken": sorted(self._times.spoken),
            "counters": (self.late_events, self.repeats),
            **{name: memory.state() for name, memory in self._memories().items()},
        }

    def _load(self, state: dict[str, Any]) -> None:
        self._times.load(state["partitions"], state["halted"])
        for topic_id, number, outcomes in state["runs"]:
            self._runs[(topic_id, number)] = ErrorRuns(self._config.max_keys)
            self._runs[(topic_id, number)].load(outcomes)
        for name, memory in self._memories().items():
            memory.load(state[name])
        for rule in self._rules:
            rule.load(state["rules"][rule.name])
        self._times.spoken = set(state.get("spoken", ()))
        self.late_events, self.repeats = state["counters"]

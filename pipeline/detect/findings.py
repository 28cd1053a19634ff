"""From what was found to findings: bytes that depend on the events alone, and evidence beside them."""

from collections.abc import Sequence

from detectors.base import Conclusion, CountingDetector, Detector, Seen
from detectors.budget import DEFAULT_PAGE_AT
from detectors.key import Key
from detectors.window import MINUTE_MS, STEP_MS
from pipeline.detect.config import DetectConfig
from pipeline.detect.floors import PERIOD_MS, Reached
from pipeline.detect.minutes import Moment
from pipeline.detect.model import Found
from pipeline.detect.overrides import Overrides
from pipeline.detect.recent import Recent, look_further
from schemas.finding import Finding

TRIP_LEVEL = 2


class Findings:
    """Makes findings of what was found, with the configuration hash and samples at hand."""

    def __init__(
        self,
        config: DetectConfig,
        overrides: Overrides,
        detectors: Sequence[CountingDetector],
        recent: Recent,
    ) -> None:
        self._hash = config.hash
        self._overrides = overrides
        self._detectors = [d for d in detectors if d.test is not None]
        self._recent = recent

    def kept(self, found: list[Found]) -> list[Found]:
        """Without those that an override turned off: of tests that count for all detectors at once."""
        return [one for one in found if self._overrides.of(one.finding.detector, _key_of(one)).enabled]

    def floor_limit(self, detector: CountingDetector, key: Key) -> int:
        """The count a minute that fires for this key."""
        own = self._overrides.of(detector.name, key).per_minute
        return own or (detector.floor.per_minute if detector.floor else 0)

    def least_limit(self, detector: CountingDetector) -> int:
        """The lowest count a minute that fires for any key."""
        stated = [one.per_minute for one in self._overrides.stated if one.per_minute]
        return min(stated + ([detector.floor.per_minute] if detector.floor else []))

    def rule(self, detector: Detector, conclusion: Conclusion) -> Found:
        """What a rule concluded."""
        return self._found(detector, conclusion, {})

    def statistical(self, moment: Moment) -> Found:
        """A minute that crossed an e-detector's threshold."""
        detector, key, seen = self._detectors[moment.detector], moment.key, moment.crossed.seen
        start = moment.minute * MINUTE_MS
        conclusion = Conclusion(
            kind="statistical",
            key=key,
            window=(start, start + MINUTE_MS),
            time_base="event",
            summary=detector.say_statistic(seen),
            facts=_counts(detector, seen)
            | {
                "baseline": float(f"{seen.baseline:.4g}"),
                "log10_e": round(seen.log10_e, 1),
                "page_at_e": detector.statistic.page_at or DEFAULT_PAGE_AT,
                "learned_minutes": seen.learned_minutes,
            },
            may_trip=key.may_trip and moment.crossed.level >= TRIP_LEVEL,
            condition=detector.hits_sql,
        )
        return self._found(detector, conclusion, self._recent.samples(key, detector.name))

    def floor(self, detector: CountingDetector, reached: Reached, learning: Sequence[str] = ()) -> Found:
        """A key whose count in one minute of append time proved the floor. `learning`: the statistics that
        cannot speak of it yet."""
        key, limit = reached.key, self.floor_limit(detector, reached.key)
        start = reached.period * PERIOD_MS
        conclusion = Conclusion(
            kind="floor",
            key=key,
            window=(start, start + PERIOD_MS),
            time_base="append",
            summary=detector.say_floor(limit),
            facts={"limit_per_minute": limit, "window_s": MINUTE_MS // 1000},
            may_trip=key.may_trip,
            severity="warning" if key.late else None,
            condition=detector.hits_sql,
        )
        evidence = self._recent.samples(key, detector.name) | {
            "count_so_far": reached.count_so_far,
            "minute_from_ms": reached.window_step * STEP_MS,
        }
        if learning:
            evidence["learning"] = list(learning)
        return self._found(detector, conclusion, evidence)

    def _found(self, detector: Detector, conclusion: Conclusion, evidence: dict[str, object]) -> Found:
        key, (start_ms, end_ms) = conclusion.key, conclusion.window
        own = self._overrides.of(detector.name, key).shadow
        shadow = detector.config.shadow if own is None else own
        finding = Finding(
            detector=detector.name,
            kind=conclusion.kind,
            environment=key.environment,
            agent_id=key.agent_id,
            key=key.labels() | dict(conclusion.labels),
            window_start_ms=start_ms,
            window_end_ms=end_ms,
            time_base=conclusion.time_base,
            config_hash=self._hash,
            severity=conclusion.severity or detector.severity,
            summary=conclusion.summary,
            facts=dict(conclusion.facts),
            may_trip=conclusion.may_trip and not shadow,
            shadow=shadow,
            runbook=detector.runbook,
        )
        stated = {name: getattr(conclusion, name) for name in ("rows", "traces", "sessions", "agents")}
        append_time = finding.time_base == "append" and key.via != "event"
        sql = look_further(key, conclusion.condition, start_ms, end_ms, append_time=append_time)
        return Found(
            finding=finding,
            late=key.late,
            evidence={**evidence, **{name: list(ids) for name, ids in stated.items() if ids}, "sql": sql},
            withdrawn=conclusion.withdrawn,
        )


def _counts(detector: CountingDetector, seen: Seen) -> dict[str, float | int | str]:
    """A rate's finding may come before its minute is over: it says what is proven, never what was counted."""
    if detector.test == "rate":
        return {"hits_at_least": seen.hits}
    return {"hits": seen.hits, "eligible": seen.eligible}


def _key_of(found: Found) -> Key:
    return Key(found.finding.environment, found.finding.agent_id, "")

"""From what was found to findings: bytes that depend on the events alone, and evidence beside them."""

from collections.abc import Sequence

from detectors.acting_after_trip import ActingAfterTrip
from detectors.base import CountingDetector, Detector
from detectors.id_reuse import IdReuse
from detectors.identity_claim import IdentityClaim
from detectors.window import HOUR_MS, MINUTE_MS, STEP_MS
from pipeline.detect.config import DetectConfig
from pipeline.detect.floors import PERIOD_MS, Reached
from pipeline.detect.minutes import Moment
from pipeline.detect.model import Found, Key
from pipeline.detect.recent import Recent, look_further
from pipeline.detect.rules import Claim, Reuse, Violation
from schemas.finding import Finding, FindingKind, Severity

TRIP_LEVEL = 2


class Findings:
    """Puts findings into words, with the configuration hash and samples at hand."""

    def __init__(self, config: DetectConfig, detectors: Sequence[CountingDetector], recent: Recent) -> None:
        self._hash = config.hash
        self._acting = ActingAfterTrip(config.acting_after_trip)
        self._max_claims = config.max_claims_per_hour
        self._detectors = [d for d in detectors if d.test is not None]
        self._recent = recent

    def statistical(self, moment: Moment) -> Found:
        """A minute that crossed an e-detector's threshold."""
        detector, key, seen = self._detectors[moment.detector], moment.key, moment.crossed.seen
        start = moment.minute * MINUTE_MS
        finding = self._finding(
            detector,
            "statistical",
            key,
            (start, start + MINUTE_MS),
            summary=detector.say_statistic(seen),
            facts={
                "hits": seen.hits,
                "eligible": seen.eligible,
                "baseline": float(f"{seen.baseline:.4g}"),
                "log10_e": round(seen.log10_e, 1),
                "page_at_e": detector.statistic.page_at,
                "learned_minutes": seen.learned_minutes,
            },
            may_trip=key.may_trip and moment.crossed.level >= TRIP_LEVEL,
        )
        return Found(finding=finding, late=False, evidence=self._evidence(detector, key, finding))

    def floor(self, detector: CountingDetector, reached: Reached) -> Found:
        """A key whose count in one minute of append time proved the floor."""
        key, limit = reached.key, detector.floor.per_minute if detector.floor else 0
        start = reached.period * PERIOD_MS
        finding = self._finding(
            detector,
            "floor",
            key,
            (start, start + PERIOD_MS),
            summary=detector.say_floor(limit),
            facts={"limit_per_minute": limit, "window_s": MINUTE_MS // 1000},
            may_trip=key.may_trip,
            severity="warning" if key.late else detector.severity,
        )
        evidence = self._evidence(detector, key, finding)
        evidence["count_so_far"] = reached.count_so_far
        evidence["minute_from_ms"] = reached.window_step * STEP_MS
        return Found(finding=finding, late=key.late, evidence=evidence)

    def claims(self, claims: list[Claim]) -> list[Found]:
        """Sources that spoke in names that are not theirs."""
        return [self._claim(claim) for claim in claims]

    def reuses(self, reuses: list[Reuse]) -> list[Found]:
        """Agents whose ids came back with another content."""
        return [self._reuse(reuse) for reuse in reuses]

    def violations(self, violations: list[Violation]) -> list[Found]:
        """Agents that acted after their trip."""
        return [self._violation(violation) for violation in violations]

    def _claim(self, claim: Claim) -> Found:
        key = Key(claim.environment, claim.agent_id, f"source:{claim.source}")
        start, detector = claim.hour * HOUR_MS, IdentityClaim()
        many = claim.agent_id == "*"
        finding = self._finding(
            detector,
            "rule",
            key,
            (start, start + HOUR_MS),
            summary=detector.say_many(claim.source, self._max_claims) if many else detector.say(claim.source),
            facts={"source": claim.source},
            may_trip=False,
        )
        return Found(finding=finding, late=False, evidence={"sql": self._sql(key, finding, "not bound")})

    def _reuse(self, reuse: Reuse) -> Found:
        start, detector = reuse.hour * HOUR_MS, IdReuse()
        window = (start, start + HOUR_MS)
        finding = self._finding(
            detector, "rule", reuse.key, window, summary=detector.say(), facts={}, may_trip=False
        )
        return Found(finding=finding, late=False, evidence={"sql": self._sql(reuse.key, finding, "true")})

    def _violation(self, violation: Violation) -> Found:
        key, trip, began_ms, row = violation
        grace_ms = int(self._acting.config.grace_s * 1000)
        finding = self._finding(
            self._acting,
            "rule",
            key,
            (trip.served_at_ms, trip.served_at_ms + grace_ms),
            summary=self._acting.say(trip.mode),
            facts={"trip_id": trip.trip_id, "mode": trip.mode, "tripped_at_ms": trip.served_at_ms},
            may_trip=key.may_trip,
            labels={"trip": trip.trip_id},
        )
        condition = f"action_kind <> 'none' and broker_time_ms > {trip.served_at_ms + grace_ms}"
        evidence: dict[str, object] = {
            "rows": [row],
            "began_ms": began_ms,
            "sql": look_further(key, condition, trip.served_at_ms, 1 << 62, append_time=True),
        }
        return Found(finding=finding, late=False, evidence=evidence)

    def _finding(
        self,
        detector: Detector,
        kind: FindingKind,
        key: Key,
        window: tuple[int, int],
        *,
        summary: str,
        facts: dict[str, float | int | str],
        may_trip: bool,
        severity: Severity | None = None,
        labels: dict[str, str] | None = None,
    ) -> Finding:
        return Finding(
            detector=detector.name,
            kind=kind,
            environment=key.environment,
            agent_id=key.agent_id,
            key=key.labels() | (labels or {}),
            window_start_ms=window[0],
            window_end_ms=window[1],
            time_base="event" if kind == "statistical" or isinstance(detector, IdReuse) else "append",
            config_hash=self._hash,
            severity=severity or detector.severity,
            summary=summary,
            facts=facts,
            may_trip=may_trip,
            runbook=detector.runbook,
        )

    def _evidence(self, detector: CountingDetector, key: Key, finding: Finding) -> dict[str, object]:
        samples = self._recent.samples(key, detector.name)
        return {**samples, "sql": self._sql(key, finding, detector.hits_sql)}

    def _sql(self, key: Key, finding: Finding, condition: str) -> str:
        append_time = finding.time_base == "append" and key.via != "event"
        return look_further(
            key, condition, finding.window_start_ms, finding.window_end_ms, append_time=append_time
        )

"""A guard around detectors of the user's own: what one of them raises ends that one, never the others."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar, cast

import msgspec
import polars as pl
import structlog

from detectors.base import (
    Conclusion,
    CountingDetector,
    Detector,
    DetectorConfig,
    FloorConfig,
    RuleDetector,
    Seen,
    StatisticConfig,
    TestKind,
    Watermark,
    runbook_of,
)
from detectors.key import Key
from detectors.window import HOUR_MS
from pipeline import metrics
from pipeline.detect.build import budgeted, is_of
from pipeline.detect.config import DetectConfig
from pipeline.detect.limited import Limited
from pipeline.detect.model import Part
from pipeline.detect.own import line_in_module, own_detectors, own_settings
from pipeline.errors import ConfigError
from schemas.finding import Severity

log = structlog.get_logger()

PARTS = ("hits", "eligible", "floor_hits")

Value = TypeVar("Value")


class Failures:
    """What has failed. In the fold it stands in the place of a rule, so that a failure is a finding and
    survives a restart: a detector stays off until its module or the configuration changes."""

    name: ClassVar[str] = "detector_failed"
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ()
    cases: ClassVar[tuple[Any, ...]] = ()
    Config: ClassVar[type[DetectorConfig]] = DetectorConfig

    def __init__(self, limit_s: float) -> None:
        self.config = DetectorConfig()
        self._limited = Limited(limit_s)
        self.failed: dict[str, str] = {}
        """Detector → what it raised and where; never the text, which may hold content."""
        self._untold: list[str] = []
        self._now_ms = 0

    def run(self, detector: Detector, call: Callable[[], Value], otherwise: Value) -> Value:
        """What the call returns; `otherwise` where it fails or the detector has failed before."""
        if detector.name in self.failed:
            return otherwise
        try:
            return self._limited.call(call)
        except Exception as error:  # noqa: BLE001 (whatever a user's code raises)
            what = type(error).__name__ + line_in_module(error, type(detector))
            self.failed[detector.name] = what
            self._untold.append(detector.name)
            metrics.detector_failures.labels(detector.name).inc()
            log.error("detector failed and is off", detector=detector.name, error=what)
            return otherwise

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        """Comes last, and tells of what failed on these rows."""
        newest: Any = rows["event_ms"].max()
        self._now_ms = max(self._now_ms, int(newest))
        return self._tell()

    def close(self, watermark: Watermark) -> list[Conclusion]:  # noqa: ARG002 (tells what failed in between)
        return self._tell()

    def _tell(self) -> list[Conclusion]:
        names, self._untold = self._untold, []
        hour = self._now_ms // HOUR_MS
        return [
            Conclusion(
                key=Key("auditfuse", "auditfuse", ""),
                window=(hour * HOUR_MS, (hour + 1) * HOUR_MS),
                time_base="event",
                summary=f"The detector {name} failed ({self.failed[name]}) and looks at nothing any more",
                labels={"failed": name},
                condition="false",
            )
            for name in names
        ]

    def state(self) -> Any:
        return {"failed": self.failed, "untold": self._untold, "now_ms": self._now_ms}

    def load(self, state: Any) -> None:
        self.failed, self._untold = dict(state["failed"]), list(state["untold"])
        self._now_ms = state["now_ms"]


class GuardedRule:
    """A rule of the user's own. What it concludes is checked, since it goes into the state database."""

    needs: ClassVar[tuple[str, ...]] = ()
    cases: ClassVar[tuple[Any, ...]] = ()
    Config: ClassVar[type[DetectorConfig]] = DetectorConfig

    def __init__(self, rule: RuleDetector, failures: Failures) -> None:
        self._rule, self._failures = rule, failures
        self.name: str = rule.name  # pyright: ignore[reportIncompatibleVariableOverride]
        self.severity, self.runbook, self.config = rule.severity, rule.runbook, rule.config

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        return self._failures.run(self._rule, lambda: _checked(self._rule.observe(rows)), [])

    def close(self, watermark: Watermark) -> list[Conclusion]:
        return self._failures.run(self._rule, lambda: _checked(self._rule.close(watermark)), [])

    def state(self) -> Any:
        """Its state as a snapshot gives it back."""

        def encoded() -> Any:
            return msgspec.msgpack.encode(self._rule.state())

        return self._failures.run(self._rule, encoded, b"")

    def load(self, state: Any) -> None:
        if state:
            self._failures.run(self._rule, lambda: self._rule.load(msgspec.msgpack.decode(state)), None)


class GuardedCount:
    """A counting detector of the user's own: what it counts is computed beforehand, in columns."""

    needs: ClassVar[tuple[str, ...]] = ()
    cases: ClassVar[tuple[Any, ...]] = ()
    Config: ClassVar[type[DetectorConfig]] = DetectorConfig

    def __init__(self, counting: CountingDetector, failures: Failures) -> None:
        self._counting, self._failures = counting, failures
        self.name: str = counting.name  # pyright: ignore[reportIncompatibleVariableOverride]
        self.severity, self.runbook, self.config = counting.severity, counting.runbook, counting.config
        self.test: TestKind | None = counting.test  # pyright: ignore[reportIncompatibleVariableOverride]
        self.hits_sql: str = counting.hits_sql  # pyright: ignore[reportIncompatibleVariableOverride]
        self.floor: FloorConfig | None = counting.floor

    @property
    def statistic(self) -> StatisticConfig:
        return self._counting.statistic

    def with_columns(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with a column of each part; nothing is counted once it has failed."""

        nothing = rows.with_columns(pl.lit(value=False).alias(self._column(part)) for part in PARTS)
        return self._failures.run(self._counting, lambda: self._computed(rows), nothing)

    def _computed(self, rows: pl.DataFrame) -> pl.DataFrame:
        parts: dict[str, pl.Expr] = {part: getattr(self._counting, part)() for part in PARTS}
        return rows.with_columns(
            expression.cast(pl.Boolean).fill_null(value=False).alias(self._column(part))
            for part, expression in parts.items()
        )

    def _column(self, part: str) -> str:
        return f"own.{self.name}.{part}"

    def hits(self) -> pl.Expr:
        return pl.col(self._column("hits"))

    def eligible(self) -> pl.Expr:
        return pl.col(self._column("eligible"))

    def floor_hits(self) -> pl.Expr:
        return pl.col(self._column("floor_hits"))

    def say_statistic(self, seen: Seen) -> str:
        plain = f"{self.name} has risen: {seen.hits} of {seen.eligible} in this minute"
        return self._failures.run(self._counting, lambda: str(self._counting.say_statistic(seen)), plain)

    def say_floor(self, per_minute: int) -> str:
        plain = f"{self.name}: at least {per_minute} within one minute"
        return self._failures.run(self._counting, lambda: str(self._counting.say_floor(per_minute)), plain)


class OwnDetectors:
    """The user's own detectors of a configuration, each behind its guard."""

    def __init__(self, config: DetectConfig, part: Part = "all") -> None:
        failures = Failures(config.own_limit_s)
        self.counting: list[GuardedCount] = []
        self.rules: list[GuardedRule | Failures] = []
        detectors = own_detectors(config.module_digests)
        unknown = sorted(config.own.keys() - {detector.name for detector in detectors})
        if unknown:
            raise ConfigError(f"detect.own.{unknown[0]}: no module of detect.modules has such a detector")
        for detector in detectors:
            settings = own_settings(detector, config.own.get(detector.name, {}))
            if not settings.enabled:
                continue
            made: Any = _made(detector, budgeted(settings, config))
            if hasattr(detector, "hits"):
                if part != "fleet":
                    self.counting.append(GuardedCount(made, failures))
            elif is_of(detector, part):
                self.rules.append(GuardedRule(made, failures))
        if self.counting or self.rules:
            self.rules.append(failures)

    @property
    def counting_detectors(self) -> list[CountingDetector]:
        """Those that count. A guard has its name from an instance, what it stands for from a class."""
        return cast("list[CountingDetector]", self.counting)

    @property
    def rule_detectors(self) -> list[RuleDetector]:
        """Those that look at rows, and the one that tells of failures."""
        return cast("list[RuleDetector]", self.rules)

    def with_columns(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with what the user's own counting detectors count."""
        for counting in self.counting:
            rows = counting.with_columns(rows)
        return rows


def _made(detector: Any, settings: DetectorConfig) -> Any:
    try:
        return detector(settings)
    except Exception as error:  # noqa: BLE001 (whatever a user's code raises)
        what = type(error).__name__ + line_in_module(error, detector)
        raise ConfigError(f"detector {detector.name} cannot be made: {what}: {error}") from None


def _checked(conclusions: Sequence[Conclusion]) -> list[Conclusion]:
    """Raises ValidationError where a field has another type than it must."""
    return [msgspec.convert(msgspec.to_builtins(one), Conclusion) for one in conclusions]

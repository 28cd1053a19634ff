"""Id reuse: the same trace and span id with another content, as when writes hide behind a known span."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from detectors.base import Case, Conclusion, DetectorConfig, Watermark, runbook_of
from detectors.key import Key
from detectors.remembered import Remembered
from detectors.window import HOUR_MS
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl


class IdReuseConfig(DetectorConfig):
    """Reused ids need no setting."""


class IdReuse:
    """Two events of one agent and source with the same ids and operation that differ. Both count.

    Once per agent and hour of event time.
    """

    name: ClassVar[str] = "id_reuse"
    Config: ClassVar[type[DetectorConfig]] = IdReuseConfig
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("trace_id", "span_id")
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="one span id, two contents",
            events=[
                {"at_s": 0, "span_id": "00f067aa0ba902b7", "event_hmac": "a1" * 32},
                {"at_s": 1, "span_id": "00f067aa0ba902b7", "event_hmac": "b2" * 32},
            ],
            fires=["rule"],
        ),
        Case(
            name="a retry of the same event stays quiet",
            events=[
                {"at_s": 0, "span_id": "00f067aa0ba902b7", "event_hmac": "a1" * 32},
                {"at_s": 1, "span_id": "00f067aa0ba902b7", "event_hmac": "a1" * 32},
            ],
        ),
    )

    def __init__(self, config: IdReuseConfig) -> None:
        self.config = config
        self._reported = Remembered[tuple[Key, int]]()

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        import polars as pl

        reused = rows.filter(pl.col("reused"))
        if reused.is_empty():
            return []
        hour = (pl.col("event_ms") // HOUR_MS).alias("hour")
        found = reused.select("env", "agent", "via", hour).unique().sort(pl.all())
        reuses = [(Key(env, agent, via), hour) for env, agent, via, hour in found.iter_rows()]
        return [self._conclusion(*reuse) for reuse in reuses if self._reported.add(reuse)]

    def close(self, watermark: Watermark) -> list[Conclusion]:  # noqa: ARG002 (nothing waits)
        return []

    def _conclusion(self, key: Key, hour: int) -> Conclusion:
        return Conclusion(
            key=key,
            window=(hour * HOUR_MS, (hour + 1) * HOUR_MS),
            time_base="event",
            summary="Events with the same trace and span id but different content: all of them were counted",
        )

    def state(self) -> Any:
        return [(*key[:3], hour) for key, hour in self._reported.items]

    def load(self, state: Any) -> None:
        self._reported = Remembered((Key(env, agent, via), hour) for env, agent, via, hour in state)

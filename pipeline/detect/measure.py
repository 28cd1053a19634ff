"""What detection tells of itself: metrics and logs of what was folded and found."""

from collections.abc import Sequence

import structlog

from pipeline import metrics
from pipeline.detect.fold import Detection
from pipeline.detect.model import Found, SignalBatch

log = structlog.get_logger()


class Measures:
    """Counts what was folded and found. Warns once the fleet outgrows what thresholds are made for."""

    def __init__(self, expected_keys: int) -> None:
        self._expected_keys = expected_keys
        self._has_warned = False

    def tell(self, detection: Detection, batches: Sequence[SignalBatch], found: Sequence[Found]) -> None:
        """After these batches were observed, with these findings."""
        if detection.watermark_ms is not None:
            metrics.watermark_time.set(detection.watermark_ms / 1000)
        for batch in batches:
            metrics.signals_observed.inc(batch.signals.height)
        metrics.late_events.set(detection.late_events)
        metrics.agents_watched.set(detection.keys)
        if detection.keys > self._expected_keys and not self._has_warned:
            self._has_warned = True
            log.warning(
                "more agents than thresholds are made for: raise detect.expected_keys",
                agents=detection.keys,
                expected_keys=self._expected_keys,
            )
        for one in found:
            metrics.findings.labels(one.finding.detector, str(one.late).lower()).inc()
            log.warning(
                "finding", id=one.finding.finding_id, detector=one.finding.detector, kind=one.finding.kind
            )

"""Id reuse: the same trace and span id with another content, as when writes hide behind a known span."""

from typing import ClassVar

from detectors.base import Case, runbook_of
from schemas.finding import Severity


class IdReuse:
    """Two events of one agent and source with the same ids and operation that differ. Both count."""

    name: ClassVar[str] = "id_reuse"
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

    def say(self) -> str:
        return "Events with the same trace and span id but different content: all of them were counted"

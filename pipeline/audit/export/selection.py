"""Which rows an export takes: an interval of time, and maybe one agent or environment."""

from __future__ import annotations

import msgspec

from pipeline.audit.arrow import Array, Table, pc
from pipeline.audit.store import APPEND_PARTITIONS
from schemas.log_entry import SegmentRef

_NS_PER_MS = 1_000_000


class Selection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All given parts together. Events count by the span's end, dead letters by broker time, rows of
    `_control` and `_findings` by the time that they name. Values as they are stored."""

    from_ms: int
    """At or after."""
    to_ms: int
    """Before."""
    agent: str | None = None
    environment: str | None = None

    def may_be_in(self, topic_id: str, ref: SegmentRef) -> bool:
        """False only where the log says that no row of a segment is of this time."""
        if topic_id in APPEND_PARTITIONS or ref.max_broker_ms is None:
            return True
        starts, ends = ref.min_event_ms, ref.max_event_ms
        events = starts is not None and ends is not None and ends >= self.from_ms and starts < self.to_ms
        return events or (ref.events < ref.rows and ref.max_broker_ms >= self.from_ms)

    def mask(self, topic_id: str, rows: Table) -> Array:
        """A boolean a row: whether it is selected. An erased row has lost what could select it."""
        at_ms = rows.column("at_ms") if topic_id in APPEND_PARTITIONS else _event_topic_ms(rows)
        mask = pc.and_(pc.greater_equal(at_ms, self.from_ms), pc.less(at_ms, self.to_ms))
        for name, value in (("agent_id", self.agent), ("environment", self.environment)):
            if value is not None:
                mask = pc.and_(mask, pc.equal(rows.column(name), value))
        return pc.fill_null(mask, False)


def _event_topic_ms(rows: Table) -> Array:
    ends_ns = pc.add(rows.column("start_time_unix_nano"), rows.column("duration_ns"))
    return pc.coalesce(pc.divide(ends_ns, _NS_PER_MS), rows.column("broker_time_ms"))

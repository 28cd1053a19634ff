"""Recovery: incidents that have been quiet for their hold-down are over.

Takes part in a transaction that the caller began.
"""

import msgspec
from sqlalchemy import Connection, or_, select

from pipeline.respond import incidents as grouping
from pipeline.respond import tables
from pipeline.respond.config import RespondConfig
from pipeline.respond.incidents import Episode, hold_down_ms
from pipeline.respond.store_change import store_change

OWN_FAULT = "self_"
"""What the detectors of faults of auditfuse itself begin with: they are over when the fault is."""
_MS_PER_MINUTE = 60_000


def resolve_quiet(
    connection: Connection, config: RespondConfig, now_ms: int, detector_now_ms: int
) -> list[str]:
    """Resolve what has been quiet for long enough; returns the incidents' ids.

    Quiet is counted in the detectors' time: while detection stands still nothing recovers. Where a detector
    takes its findings back, it is counted from then on, by the wall clock.
    """
    table = tables.incidents
    quiet = table.c.last_window_end_ms < detector_now_ms - int(config.quiet_resolves_after_s * 1000)
    taken_back = table.c.quiet_since_ms <= now_ms - int(config.withdrawn_resolves_after_s * 1000)
    query = (
        select(table.c.episode, table.c.quiet_since_ms)
        .where((table.c.status != "resolved") & or_(quiet, taken_back))
        .with_for_update()
    )
    resolved: list[str] = []
    for row in connection.execute(query).all():
        current = msgspec.json.decode(row.episode, type=Episode)
        reason = _why_over(current, row.quiet_since_ms, config, now_ms, detector_now_ms)
        change = grouping.resolve(current, grouping.BY_RECOVERY, reason, now_ms) if reason else None
        if reason and change is not None:
            store_change(connection, change, config, grouping.BY_RECOVERY, reason)
            resolved.append(change.episode.incident.incident_id)
    return resolved


def _why_over(
    episode: Episode, quiet_since_ms: int | None, config: RespondConfig, now_ms: int, detector_now_ms: int
) -> str | None:
    detector = episode.incident.detector
    if detector.startswith(OWN_FAULT):
        return None
    if detector in grouping.ENDED_BY_WITHDRAWAL:
        hold_ms = hold_down_ms(episode, config.withdrawn_resolves_after_s)
        is_over = quiet_since_ms is not None and quiet_since_ms <= now_ms - hold_ms
        return "withdrawn: what was found is over" if is_over else None
    hold_ms = hold_down_ms(episode, config.quiet_resolves_after_s)
    if episode.last_window_end_ms >= detector_now_ms - hold_ms:
        return None
    return f"no finding for {hold_ms // _MS_PER_MINUTE} minutes"

"""What a plot shows: an incident's hits minute by minute, before and after. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from schemas.finding import Finding

MINUTE_MS = 60_000
BEFORE_MINUTES = 60
AFTER_MINUTES = 60
"""Minutes that are shown before the window of the finding and from its begin on."""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Counts a minute. Minute i begins at `start_ms` + i minutes."""

    start_ms: int
    hits: list[int]
    """Rows that the finding speaks of."""
    rows: list[int]
    """All rows of the agent."""
    onset_ms: int
    """The first hit in the finding's window."""

    @property
    def peak(self) -> int:
        """Hits in the worst minute from the onset on."""
        return max(self.hits[self._onset_minute :], default=0)

    @property
    def usual(self) -> float | None:
        """Hits a minute before the onset; None where no row of the agent is known from before."""
        before = self._onset_minute
        if not any(self.rows[:before]):
            return None
        return sum(self.hits[:before]) / before

    @property
    def _onset_minute(self) -> int:
        return min(max((self.onset_ms - self.start_ms) // MINUTE_MS, 0), len(self.hits))


def span(finding: Finding, latest_ms: int) -> tuple[int, int]:
    """From when to when it is shown, in whole minutes; `latest_ms` is the newest time worth showing."""
    begin = finding.window_start_ms // MINUTE_MS - BEFORE_MINUTES
    shown_until = max(
        finding.window_end_ms, min(latest_ms, finding.window_start_ms + AFTER_MINUTES * MINUTE_MS)
    )
    return begin * MINUTE_MS, -(-shown_until // MINUTE_MS) * MINUTE_MS


def fill(counts: Mapping[int, Sequence[int]], start_ms: int, end_ms: int, onset_ms: int) -> Series:
    """The series from counts by minute number since 1970 → (rows, hits); what is missing is 0."""
    first, last = start_ms // MINUTE_MS, end_ms // MINUTE_MS
    minutes = [counts.get(minute, (0, 0)) for minute in range(first, last)]
    return Series(
        start_ms=first * MINUTE_MS,
        rows=[int(rows) for rows, _ in minutes],
        hits=[int(hits) for _, hits in minutes],
        onset_ms=onset_ms,
    )


def in_words(series: Series) -> str:
    """The plot for who cannot see it, and the figure that a title lacks."""
    usual = series.usual
    worst = f"{series.peak:,} in the worst minute"
    if usual is None:
        return f"{worst}; nothing is known from the hour before"
    return f"{worst}, {number(usual)} a minute in the hour before"


def number(value: float) -> str:
    """Short: 0, 0.4, 3.2, 140."""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"

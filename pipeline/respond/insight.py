"""What the audit store says about an incident beyond its finding."""

import msgspec

from pipeline.respond.causes import Cause
from pipeline.respond.series import Series


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the incident's record: a change of it, or an order of the kill switch."""

    at_ms: int
    what: str
    by: str
    details: str
    id: str


class Insight(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    causes: list[Cause]
    series: Series | None
    """None where no row that it speaks of is found any more."""
    record: list[Entry] = []
    """What is sealed of it, the oldest first."""

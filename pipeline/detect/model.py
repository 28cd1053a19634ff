"""What goes into the fold and what comes out of it."""

from typing import NamedTuple

import msgspec
import polars as pl

from schemas.command import Mode, Selector
from schemas.finding import Finding

Partition = tuple[str, int]
"""(topic id, partition)."""


class SignalBatch(NamedTuple):
    """The signals of one sealed segment, or an idle entry, of one partition: offsets [start, end).

    An empty batch without idle time makes the partition known, so that the others wait for it.
    """

    topic_id: str
    partition: int
    start: int
    end: int
    signals: pl.DataFrame
    """SIGNAL_SCHEMA, in (offset, item) order; may be empty."""
    idle_until_ms: int | None = None


class Trip(msgspec.Struct, frozen=True, kw_only=True):
    """One trip of the kill switch as `_control` has it; given again once it is loosened."""

    trip_id: str
    selector: Selector
    mode: Mode
    served_at_ms: int
    loosened: tuple[tuple[int, Mode], ...] = ()
    """(ms since 1970, the mode from then on), in order; "on": lifted."""

    @property
    def lifted_at_ms(self) -> int | None:
        """When it ended; None while it is in force."""
        return next((at_ms for at_ms, mode in self.loosened if mode == "on"), None)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A finding, and what depends on when and how its events arrived."""

    finding: Finding
    late: bool
    evidence: dict[str, object]
    """Sample traces, sessions and row identities, counts so far, SQL to look further."""
    withdrawn: str | None = None
    """Why the finding of this identity, found before, no longer holds."""

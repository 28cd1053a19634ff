"""What a detector is: a frozen configuration, what it looks at, its words for findings, and its own cases.

A detector is pure. There are two kinds. A counting detector names what to count per (environment, agent)
and minute; `pipeline.detect` counts for all of them in one pass, tests the counts, and asks for words. A rule
looks at the rows themselves and keeps a state of its own. A detector with the class attribute `policy` is
made with the rules of that table of the policy as well, and not made where there are none. Polars is
imported only where expressions are made, so that reading a configuration costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from detectors.key import Key
from schemas.finding import FindingKind, Severity, TimeBase

if TYPE_CHECKING:
    import polars as pl

TestKind = Literal["rate", "ratio"]
"""rate: hits a minute against the agent's own rate; ratio: hits among its eligible events."""

ERROR_RUN_LENGTH = 20
"""`in_error_run` is true for a failed event when at least half of that many events of its agent,
the newest of its partition and itself, failed. It depends on one partition's order alone, so a
share can be part of a count that only grows."""


class DetectorConfig(BaseModel):
    """What every detector can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    """Whether it looks at all."""
    shadow: bool = False
    """Whether its findings are only stored: no incident, no page, no trip. For trying a detector out."""


class StatisticConfig(BaseModel):
    """The e-detector's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    page_at: float | None = Field(default=None, gt=1)
    """E-value from which a finding is raised: about one false finding in that many agent-minutes. None: what
    `detect.false_pages_per_day` allows."""
    trip_at: float | None = Field(default=None, gt=1)
    """E-value from which the finding may trip a kill switch. None: a thousand times `page_at`."""
    multiples: tuple[float, ...] = (2.0, 3.0, 5.0, 10.0, 30.0)
    """The alternatives, as multiples of the baseline (of its odds for a ratio), equally weighted."""
    slack: float = Field(default=1.5, ge=1)
    """What counts as normal: up to this multiple of the learned baseline."""
    half_life_minutes: float = Field(default=4320, gt=0)
    """The baseline forgets by half in so many minutes of activity."""
    learning_minutes: int = Field(default=240, ge=1)
    """Minutes seen of an agent before the statistic may speak; floors watch from the first event."""
    learning_events: int = Field(default=200, ge=0)
    """Eligible events seen of an agent before the statistic may speak (ratios only)."""
    learning_hours: int = Field(default=0, ge=0)
    """Hours since an agent was first seen before the statistic may speak: a day has to be seen to tell a
    morning from a burst."""
    freeze_below_p: float = Field(default=1e-4, gt=0, lt=1)
    """A minute less likely than this is learned from only after `quiet_minutes` without an episode."""
    quiet_minutes: int = Field(default=30, ge=1, le=10_000)
    """An episode ends after so many ordinary minutes in a row; the next one is a new finding."""
    minute_factor: float | None = Field(default=None, gt=1)
    """One minute multiplies the evidence by at most this, so that what is brief is no finding. None: by
    100 for a share, without limit for a rate."""
    relearn_after_minutes: int = Field(default=1440, ge=1)
    """An episode that lasts longer is the new normal: the baseline is learned afresh."""


RATE_STATISTIC = StatisticConfig(multiples=(5.0, 10.0, 30.0), learning_hours=96)
"""Of a rate: its minutes are asked for what is far beyond normal, its hours for the rest. In four days a
rhythm that is not the day's has been seen twice, most often."""


class FloorConfig(BaseModel):
    """A count that proves harm by itself and needs no learning. Windows are in append time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_minute: int = Field(gt=0)
    """Fires when one minute (starting at :00 or :30) holds at least so many."""


class Seen(msgspec.Struct, frozen=True):
    """What a statistic saw in the minute that crossed its threshold."""

    hits: int
    """Of a rate, the least that would have crossed it: the minute may still be open."""
    eligible: int
    baseline: float
    """Hits a minute (rate) or the share of hits (ratio) that is normal."""
    log10_e: float
    learned_minutes: int
    hour_hits: int = 0
    """Of a rate, hits in the clock hour up to and with these."""


class Watermark(NamedTuple):
    """What can no longer come. None while some partition has not spoken yet."""

    event_ms: int | None
    """Every punctual event that ended before this time has been seen."""
    append_ms: int | None
    """Every row that the broker appended before this time has been seen."""
    newest_ms: Mapping[tuple[str, int], int | None] = {}
    """How far each (topic id, partition) that is waited for has come, in event time: by its rows, or by an
    idle entry. None: has not spoken."""
    is_halted: bool = False
    """Whether some partition is halted: nobody waits for it, and what it holds may yet come."""


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule found. Becomes a finding with the configuration's hash, and its evidence.

    Its identity is (detector, key, labels, window). Everything but `rows` must depend on the events alone,
    never on the order in which partitions or batches came.
    """

    key: Key
    window: tuple[int, int]
    """[from, to) in ms since 1970, in the time base."""
    time_base: TimeBase
    summary: str
    """One line in plain words, with the numbers and what is normal."""
    kind: FindingKind = "rule"
    labels: Mapping[str, str] = {}
    """What the detector adds to (environment, agent): the tool, the session, the trip …"""
    facts: Mapping[str, float | int | str] = {}
    may_trip: bool = False
    severity: Severity | None = None
    """None: the detector's own."""
    rows: Sequence[str] = ()
    """Evidence: row identities, `topic_id/partition/offset/item`."""
    traces: Sequence[str] = ()
    """Evidence: trace ids."""
    sessions: Sequence[str] = ()
    """Evidence: session ids."""
    agents: Sequence[str] = ()
    """Evidence: the agents concerned, where the finding is not of one agent."""
    condition: str = "true"
    """SQL that picks the events behind it from the key's events in the window."""
    withdrawn: str | None = None
    """Why the finding of this identity no longer holds, for one that was concluded before."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A detector's own example: signals in, and the findings that must come out, or none.

    `events`: one mapping an event, with `at_s` (seconds after the case begins), `times` (default 1,
    spread over `spread_s`), and any columns of a signal; the rest takes plain defaults.
    """

    name: str
    events: Sequence[Mapping[str, Any]]
    fires: Sequence[str] = ()
    """The kinds of the findings that are expected, in order; empty: stays quiet."""
    trips: bool = False
    """Whether one of them may trip."""
    policy: Mapping[str, Any] = {}
    """The policy that holds in the case, as its file would say it."""


class Detector(Protocol):
    """What `pipeline.detect` and `auditfuse sources` need of every detector."""

    name: ClassVar[str]
    severity: ClassVar[Severity]
    runbook: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    """Signal columns without which the detector is blind."""
    cases: ClassVar[tuple[Case, ...]]
    Config: ClassVar[type[DetectorConfig]]
    """Its settings; an instance of it is what the class is made with."""

    @property
    def config(self) -> DetectorConfig: ...


class RuleDetector(Detector, Protocol):
    """A detector over rows, with a state of its own.

    Rows have SIGNAL_SCHEMA and the derived columns of `pipeline.detect.columns`; repeats are left out. A call
    brings rows of one partition in its order. Which conclusions come, over all calls, must not depend on
    how partitions take turns or how rows are cut into calls. Where detection is shared out, it brings rows of
    some agents only, unless the class says `across_agents = True`.
    """

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        """What these rows prove."""
        ...

    def close(self, watermark: Watermark) -> list[Conclusion]:
        """What is proven now that nothing older can come. After every batch: cheap where nothing waits."""
        ...

    def state(self) -> Any:
        """What a snapshot holds: lists, dicts, strings, numbers, bytes."""
        ...

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        ...


@runtime_checkable
class Learns(Protocol):
    """A rule that learns what is normal of an agent, and can be told to begin anew."""

    def forget(self, environment: str, agent_id: str) -> None:
        """What it does now is accepted as its new normal; an empty environment stands for every one."""
        ...


class CountingDetector(Detector, Protocol):
    """A detector over counts: a statistical test, a deterministic floor, or both."""

    test: ClassVar[TestKind | None]
    hits_sql: ClassVar[str]
    """The same condition as `hits()`, for the page: what an analyst pastes behind WHERE."""

    @property
    def statistic(self) -> StatisticConfig: ...

    @property
    def floor(self) -> FloorConfig | None: ...

    def hits(self) -> pl.Expr:
        """Boolean: the events that the statistic counts."""
        ...

    def eligible(self) -> pl.Expr:
        """Boolean: the events that could have been hits (the denominator of a ratio)."""
        ...

    def floor_hits(self) -> pl.Expr:
        """Boolean: the events that the floor counts."""
        ...

    def say_statistic(self, seen: Seen) -> str:
        """One line for the person on call."""
        ...

    def say_floor(self, per_minute: int) -> str: ...


def runbook_of(name: str) -> str:
    """Where the runbook of a detector is, relative to the repository."""
    return f"docs/runbooks/{name}.md"

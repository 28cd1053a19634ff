"""Shared dependency: a tool, target or model fails for many agents at once. One finding that names it."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field

from detectors.base import Case, Conclusion, DetectorConfig, Watermark, runbook_of
from detectors.key import ALL_AGENTS, Key
from detectors.row_rule import quoted
from detectors.window import MINUTE_MS
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl

    from detectors.pending import Pending

FAILED = ("error", "timeout")
COLUMN_OF = {"target": "target", "model": "model", "tool": "action"}
"""What may be shared, the most telling first: where as many agents fail at a target as at a tool, the target
is named."""
MAX_SHOWN, MAX_AGENTS = 10, 1000
"""Agents that a finding names, and that its evidence lists."""
MAX_FAILING = 50_000
"""Names of failing agents that are kept before those out of the window are forgotten."""
PRIOR_AGENTS = 20.0
"""What is not known well is taken to fail for one agent in so many."""


class SharedDependencyConfig(DetectorConfig):
    """When failures of many agents are one."""

    min_agents: int = Field(default=5, ge=2)
    """Agents that fail at it: at least half of their calls in the latest minute in which they called."""
    min_share: float = Field(default=0.5, gt=0, le=1)
    """Their share of the agents that call it."""
    window_minutes: int = Field(default=5, ge=1, le=60)
    """An agent's latest minute counts for so long."""
    p: float = Field(default=1e-6, gt=0, lt=0.1)
    """Chance below which so many failing agents are no chance, as this dependency goes."""
    slack: float = Field(default=1.5, ge=1)
    """What counts as normal: up to this multiple of its usual share of failing agents."""
    half_life_minutes: float = Field(default=1440, gt=0)
    """The usual share forgets by half in so many minutes."""
    quiet_minutes: int = Field(default=30, ge=1)
    """An outage is over after so many minutes without; the next one is a new finding."""
    max_names: int = Field(default=50_000, ge=100)
    """Tools, targets and models that are known; beyond it the longest unused are forgotten."""


class Name(NamedTuple):
    """What is shared."""

    environment: str
    kind: str
    name: str


class Usual(NamedTuple):
    """Agent-minutes and failing ones, decayed to `minute`."""

    agents: float
    failing: float
    minute: int


class Outage(NamedTuple):
    """A dependency that fails for many."""

    name: Name
    calling: int
    failing: tuple[str, ...]
    usual_share: float


class SharedDependency:
    """Punctual events of bound sources, in closed minutes of event time. Under the agent "*". Never trips."""

    name: ClassVar[str] = "shared_dependency"
    Config: ClassVar[type[DetectorConfig]] = SharedDependencyConfig
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    across_agents: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("action", "target", "outcome")
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="a target fails for eight agents, whatever tool they use",
            events=[
                {
                    "at_s": i,
                    "times": 10,
                    "spread_s": 300,
                    "agent_id": f"agent-{i}",
                    "action": f"tool_{i % 3}",
                    "target": "crm.example",
                    "outcome": "error",
                }
                for i in range(8)
            ],
            fires=["rule"],
        ),
        Case(
            name="one agent of eight fails",
            events=[
                {
                    "at_s": i,
                    "times": 10,
                    "spread_s": 300,
                    "agent_id": f"agent-{i}",
                    "target": "crm.example",
                    "outcome": "error" if i == 0 else "ok",
                }
                for i in range(8)
            ],
        ),
    )

    def __init__(self, config: SharedDependencyConfig) -> None:
        import polars as pl

        from detectors.pending import Pending

        self.config = config
        self._pending: Pending = Pending(
            {"dependency": pl.UInt64(), "agent": pl.UInt64()}, ["calls", "failed"]
        )
        self._window: pl.DataFrame | None = None
        """Closed minutes that the next windows reach back to."""
        self._names: dict[int, Name] = {}
        self._agents: dict[int, str] = {}
        """Of dependencies, and of agents that fail, by hash."""
        self._usual: OrderedDict[Name, Usual] = OrderedDict()
        self._failing_until: dict[Name, int] = {}

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        """Count calls and failures by agent and what they depend on."""
        import polars as pl

        punctual = rows.filter(pl.col("bound") & ~pl.col("late"))
        failed = pl.col("outcome").is_in(FAILED)
        for kind, column in COLUMN_OF.items():
            used = punctual.filter(pl.col(column).is_not_null())
            if kind == "tool":
                used = used.filter(pl.col("action_kind") != "none")
            if used.height:
                named = pl.struct("env", pl.lit(kind).alias("kind"), pl.col(column).alias("name"))
                used = used.select(
                    "minute", "env", pl.col(column).alias("name"), "agent", failed.alias("fails"),
                    named.hash(42).alias("dependency"), pl.col("agent").hash(43).alias("whose"),
                )  # fmt: skip
                self._learn_names(kind, used)
                grouped = used.group_by("minute", "dependency", pl.col("whose").alias("agent")).agg(
                    pl.len().alias("calls"), pl.col("fails").sum().alias("failed")
                )
                self._pending.add(grouped)
        return []

    def _learn_names(self, kind: str, used: pl.DataFrame) -> None:
        import polars as pl

        for hash_, environment, name in (
            used.select("dependency", "env", "name").unique("dependency").iter_rows()
        ):
            if hash_ not in self._names:
                self._names[hash_] = Name(environment, kind, name)
        for hash_, agent in used.filter("fails").select("whose", pl.col("agent")).unique("whose").iter_rows():
            self._agents.setdefault(hash_, agent)

    def close(self, watermark: Watermark) -> list[Conclusion]:
        """Judge the minutes that have closed."""
        if watermark.event_ms is None:
            return []
        due = self._pending.close(watermark.event_ms // MINUTE_MS)
        if due is None or due.is_empty():
            return []
        conclusions = list(self._judge(due))
        while len(self._usual) > self.config.max_names:
            self._usual.popitem(last=False)
        self._forget_names()
        return conclusions

    def _forget_names(self) -> None:
        """Names of what neither waits nor is in the window go, once there are too many."""
        if len(self._names) <= 2 * self.config.max_names and len(self._agents) <= MAX_FAILING:
            return
        frames = [*self._pending.frames, *([] if self._window is None else [self._window])]
        used = {hash_ for frame in frames for hash_ in frame["dependency"].unique().to_list()}
        failing = {
            hash_
            for frame in frames
            for hash_ in frame.filter(frame["failed"] > 0)["agent"].unique().to_list()
        }
        self._names = {hash_: name for hash_, name in self._names.items() if hash_ in used}
        self._agents = {hash_: agent for hash_, agent in self._agents.items() if hash_ in failing}

    def _judge(self, due: pl.DataFrame) -> Iterator[Conclusion]:
        import polars as pl

        seen = due if self._window is None else pl.concat([self._window, due])
        reach = self._pending.closed_minute - self.config.window_minutes + 1
        self._window = seen.filter(pl.col("minute") >= reach)
        suspects = self._suspects(seen)
        fails = (pl.col("failed") * 2 >= pl.col("calls")).sum().cast(pl.Int64)
        minutes = due.group_by("minute", "dependency").agg(pl.len(), fails.alias("failing"))
        shared = minutes.filter(pl.col("len") > 1).sort("minute", "dependency")
        for (at,), part in shared.group_by("minute", maintain_order=True):
            minute = int(at)  # pyright: ignore[reportArgumentType] (an integer column)
            rows = [
                (self._names[hash_], agents, failing)
                for _, hash_, agents, failing in part.iter_rows()
                if hash_ in self._names
            ]
            yield from self._outages(minute, {name for name, _, _ in rows}, suspects)
            for name, agents, failing in rows:
                if self._failing_until.get(name, -1) < minute:
                    self._learn(name, minute, agents, failing)

    def _suspects(self, seen: pl.DataFrame) -> pl.DataFrame:
        """The rows of what enough agents failed at in some minute: mostly of nothing."""
        import polars as pl

        failing = seen.filter(pl.col("failed") > 0)
        names = failing.group_by("dependency").agg(pl.col("agent").n_unique().alias("agents"))
        names = names.filter(pl.col("agents") >= self.config.min_agents)
        return seen.join(names, on="dependency", how="semi") if names.height else seen.clear()

    def _outages(self, minute: int, called: set[Name], suspects: pl.DataFrame) -> Iterator[Conclusion]:
        """Those of this minute, the one that explains most first: what it explains makes no other."""
        outages = [outage for outage in self._failing(minute, suspects) if outage.name in called]
        order = list(COLUMN_OF)
        outages.sort(
            key=lambda o: (
                self._failing_until.get(o.name, -1) < minute - self.config.quiet_minutes,
                -len(o.failing), order.index(o.name.kind), o.name,
            )
        )  # fmt: skip
        explained: set[tuple[str, str]] = set()
        for outage in outages:
            agents = {(outage.name.environment, agent) for agent in outage.failing}
            is_known = self._failing_until.get(outage.name, -1) >= minute - self.config.quiet_minutes
            if not is_known and len(agents - explained) < self.config.min_agents:
                continue
            explained |= agents
            self._failing_until[outage.name] = minute
            if not is_known:
                yield self._conclusion(outage, minute)
        for name in [n for n, m in self._failing_until.items() if m < minute - self.config.quiet_minutes]:
            del self._failing_until[name]

    def _failing(self, minute: int, suspects: pl.DataFrame) -> Iterator[Outage]:
        """What fails for many of those that called it within the window: of each the latest minute counts."""
        import polars as pl

        if suspects.is_empty():
            return
        within = (pl.col("minute") > minute - self.config.window_minutes) & (pl.col("minute") <= minute)
        latest = suspects.filter(within).sort("minute").unique(["dependency", "agent"], keep="last")
        fails = pl.col("failed") * 2 >= pl.col("calls")
        shares = latest.group_by("dependency").agg(pl.len().alias("calling"), fails.sum().alias("failing"))
        many = (pl.col("failing") >= self.config.min_agents) & (
            pl.col("failing") >= self.config.min_share * pl.col("calling")
        )
        for hash_, calling, failing in shares.filter(many).iter_rows():
            name = self._names.get(hash_)
            usual = 0.0 if name is None else self._usual_share(name, minute)
            null = min(self.config.slack * usual, 0.999)
            share = failing / calling
            if name is None or share <= null:
                continue
            if calling * _divergence(share, null) >= -math.log(self.config.p):
                whose = latest.filter((pl.col("dependency") == hash_) & fails)["agent"].to_list()
                agents = sorted(self._agents[agent] for agent in whose if agent in self._agents)
                yield Outage(name, calling, tuple(agents), usual)

    def _usual_share(self, name: Name, minute: int) -> float:
        usual = self._decayed(name, minute)
        return (usual.failing + 1) / (usual.agents + PRIOR_AGENTS)

    def _decayed(self, name: Name, minute: int) -> Usual:
        usual = self._usual.get(name, Usual(0.0, 0.0, minute))
        left = 0.5 ** ((minute - usual.minute) / self.config.half_life_minutes)
        return Usual(usual.agents * left, usual.failing * left, minute)

    def _learn(self, name: Name, minute: int, agents: int, failing: int) -> None:
        usual = self._decayed(name, minute)
        self._usual[name] = Usual(usual.agents + agents, usual.failing + failing, minute)
        self._usual.move_to_end(name)

    def _conclusion(self, outage: Outage, minute: int) -> Conclusion:
        environment, kind, name = outage.name
        failing = len(outage.failing)
        start = minute - self.config.window_minutes + 1
        agents = ", ".join(map(quoted, outage.failing[:MAX_AGENTS]))
        return Conclusion(
            key=Key(environment, ALL_AGENTS, ""),
            window=(start * MINUTE_MS, (minute + 1) * MINUTE_MS),
            time_base="event",
            summary=(
                f"The {kind} {name[:100]} fails for {failing} of the {outage.calling} agents that use it; "
                f"{outage.usual_share:.1%} is normal"
            ),
            labels={kind: name[:200]},
            agents=outage.failing[:MAX_AGENTS],
            facts={
                "failing_agents": failing,
                "calling_agents": outage.calling,
                "usual_share": round(outage.usual_share, 4),
                "agents": ", ".join(outage.failing[:MAX_SHOWN]),
            },
            condition=(
                f"{COLUMN_OF[kind]} = {quoted(name)} and outcome in ('error', 'timeout') "
                f"and agent_id in ({agents})"
            ),
        )

    def state(self) -> Any:
        """What waits, what is usual, and what fails."""
        return {
            "pending": self._pending.state(),
            "window": None if self._window is None else self._pending.saved(self._window),
            "names": [(hash_, *name) for hash_, name in self._names.items()],
            "agents": list(self._agents.items()),
            "usual": [(*name, *usual) for name, usual in self._usual.items()],
            "failing": [(*name, minute) for name, minute in self._failing_until.items()],
        }

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        self._pending.load(state["pending"])
        self._names = {hash_: Name(*name) for hash_, *name in state["names"]}
        self._agents = dict(state["agents"])
        if state["window"] is not None:
            self._window = self._pending.frame(state["window"])
        for environment, kind, name, agents, failing, minute in state["usual"]:
            self._usual[Name(environment, kind, name)] = Usual(agents, failing, minute)
        self._failing_until = {Name(*row[:3]): row[3] for row in state["failing"]}


def _divergence(share: float, null: float) -> float:
    """Kullback–Leibler, in nats: n times it bounds −log P(at least so many of n) (Chernoff)."""
    found = share * math.log(share / null)
    return found if share >= 1 else found + (1 - share) * math.log((1 - share) / (1 - null))

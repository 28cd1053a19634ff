"""Rate limit: an agent does something more often within a minute or an hour than the policy allows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from pydantic import Field, model_validator

from detectors.base import Case, Conclusion, DetectorConfig, Watermark, runbook_of
from detectors.globs import Glob, first_match
from detectors.key import Key
from detectors.policy_rule import Labels, Matching, PolicyRule, acted, judged
from detectors.remembered import Remembered
from detectors.row_rule import WHOSE
from detectors.window import HOUR_MS, MINUTE_MS, STEP_MS
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl

PERIOD_MINUTES = 5
"""A limit a minute is reported once in so many minutes, one an hour once an hour."""
MAX_COUNTS = 400_000
"""Counts that are kept at most; beyond it the least recently touched windows go."""
KEEP_MS = 2 * MINUTE_MS
"""Windows are kept so long after the slowest partition has passed them."""


class RateLimitRule(PolicyRule):
    """How often an agent may act. Windows are whole minutes and hours of append time."""

    tools: tuple[Glob, ...] = ()
    """Globs of the tools that are counted; none: all actions."""
    each_tool: bool = False
    """Whether every tool has a count of its own; else an agent's actions are counted together."""
    per_minute: int | None = Field(default=None, ge=0)
    """Actions of an agent in a minute at most."""
    per_hour: int | None = Field(default=None, ge=0)
    """Actions of an agent in an hour at most."""

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.per_minute is None and self.per_hour is None:
            raise ValueError("say how often: per_minute, per_hour or both")
        return self

    def limits(self) -> list[tuple[str, int]]:
        """(unit, actions at most) of each limit."""
        limits = (("minute", self.per_minute), ("hour", self.per_hour))
        return [(unit, limit) for unit, limit in limits if limit is not None]


class Limit(NamedTuple):
    """A limit and the actions that it is about."""

    tools: str
    """The tool, or the globs; "" for all."""
    unit: str
    at_most: int


Window = tuple[str, bool, int]
"""(unit, stamped by a broker, number): only broker time may make windows expire."""
WINDOW_MS = {"minute": MINUTE_MS, "hour": HOUR_MS}
PERIOD_WINDOWS = {"minute": PERIOD_MINUTES, "hour": 1}


class RateLimitConfig(DetectorConfig):
    """The limits are a matter of the policy."""


class RateLimit:
    """Actions that happened, counted in fixed windows of append time. Fires as soon as a count is above its
    limit; counts only grow, so it does not matter which event came first."""

    name: ClassVar[str] = "rate_limit"
    Config: ClassVar[type[DetectorConfig]] = RateLimitConfig
    policy: ClassVar[str] = "rate_limits"
    severity: ClassVar[Severity] = "critical"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("action", "action_kind")
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="eleven mails within a minute where ten are allowed",
            policy={"rate_limits": [{"tools": ["send_*"], "per_minute": 10}]},
            events=[
                {"at_s": 0, "times": 11, "spread_s": 50, "action": "send_mail", "action_kind": "external"}
            ],
            fires=["rule"],
            trips=True,
        ),
        Case(
            name="a hundred and one reads within an hour",
            policy={"rate_limits": [{"per_minute": 50, "per_hour": 100}]},
            events=[{"at_s": 0, "times": 101, "spread_s": 3500, "action": "get_order"}],
            fires=["rule"],
            trips=True,
        ),
        Case(
            name="as many as are allowed, of each tool",
            policy={"rate_limits": [{"each_tool": True, "per_minute": 10}]},
            events=[
                {"at_s": 0, "times": 10, "spread_s": 60, "action": "get_order"},
                {"at_s": 0, "times": 10, "spread_s": 60, "action": "get_customer"},
                {"at_s": 0, "times": 90, "spread_s": 60, "action": "get_order", "outcome": "denied"},
            ],
        ),
    )

    def __init__(self, config: RateLimitConfig, rules: Sequence[RateLimitRule]) -> None:
        self.config = config
        self._matching = Matching(rules)
        self._counts: OrderedDict[Window, dict[int, int]] = OrderedDict()
        """By window: hash of (whose, limit) → actions."""
        self._held = 0
        self._reported = Remembered[tuple[Key, Limit, int]]()

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:

        narrow = rows.select(*WHOSE, "action", "action_kind", "outcome").filter(acted())
        concerned = self._matching.concerned(narrow)
        if concerned.is_empty():
            return []
        counted = judged(concerned, ("rules", "action"), Limit._fields, self._limits).with_row_index("row")
        found = [
            conclusion
            for (unit,), of_unit in counted.group_by("label.unit")
            for conclusion in self._count(str(unit), of_unit)
        ]
        while self._held > MAX_COUNTS and len(self._counts) > 1:
            self._held -= len(self._counts.popitem(last=False)[1])
        return sorted(found, key=lambda one: (one.window, one.key, sorted(one.labels.items())))

    def _limits(self, rules: int, tool: str | None) -> list[Labels]:
        """The counts that an action adds to. Two rules that say the same are one."""
        found: dict[Labels, None] = {}
        for rule in self._matching.rules(rules):
            if first_match(rule.tools, tool) is not None:
                tools = (tool or "unknown") if rule.each_tool else ", ".join(rule.tools)
                found |= dict.fromkeys((tools, unit, str(limit)) for unit, limit in rule.limits())
        return list(found)

    def _count(self, unit: str, rows: pl.DataFrame) -> list[Conclusion]:
        """Add to the counts of all windows of a unit."""
        import polars as pl

        ident = pl.struct("key", "late", "label.tools", "label.at_most").hash(4).alias("id")
        number = (pl.col("step") // (WINDOW_MS[unit] // STEP_MS)).alias("window")
        grouped = (
            rows.select(ident, number, (pl.col("via") == "").alias("stamped"), "row", "label.at_most")
            .group_by("id", "window", "stamped")
            .agg(pl.len().alias("added"), pl.col("row", "label.at_most").first())
            .with_columns(pl.col("label.at_most").cast(pl.Int64))
        )
        over: list[int] = []
        for (stamped, window), group in grouped.sort("window").group_by("stamped", "window"):
            columns = group.select("id", "added", "label.at_most", "row").to_dict(as_series=False)
            over += self._add((unit, bool(stamped), int(str(window))), *columns.values())
        first = rows.filter(pl.col("row").is_in(over)) if over else rows.clear()
        return [conclusion for row in first.iter_rows(named=True) if (conclusion := self._conclude(row))]

    def _add(
        self, window: Window, idents: list[int], added: list[int], limits: list[int], rows: list[int]
    ) -> list[int]:
        """A row of each count that is above its limit now."""
        counts = self._counts.setdefault(window, {})
        self._counts.move_to_end(window)
        before, over = len(counts), list[int]()
        for ident, count, limit, row in zip(idents, added, limits, rows, strict=True):
            total = counts[ident] = counts.get(ident, 0) + count
            if total > limit:
                over.append(row)
        self._held += len(counts) - before
        return over

    def _conclude(self, row: dict[str, Any]) -> Conclusion | None:
        """What is concluded the first time in the period."""
        key = Key(row["env"], row["agent"], row["via"], row["late"])
        limit = Limit(row["label.tools"], row["label.unit"], int(row["label.at_most"]))
        length_ms = PERIOD_WINDOWS[limit.unit] * WINDOW_MS[limit.unit]
        period = row["step"] * STEP_MS // length_ms
        if not self._reported.add((key, limit, period)):
            return None
        of_tools = f" of {limit.tools}" if limit.tools else ""
        return Conclusion(
            key=key,
            window=(period * length_ms, (period + 1) * length_ms),
            time_base="append",
            summary=f"More actions{of_tools} within one {limit.unit} than the {limit.at_most} allowed",
            labels={"limit": f"{limit.at_most} a {limit.unit}"}
            | ({"tools": limit.tools} if limit.tools else {}),
            facts={"limit": limit.at_most, "unit": limit.unit, "tools": limit.tools or "any"},
            may_trip=key.may_trip,
            severity="warning" if key.late else None,
            rows=(f"{row['topic_id']}/{row['partition']}/{row['offset']}/{row['item']}",),
            condition="action_kind <> 'none' and outcome not in ('denied', 'throttled')",
        )

    def close(self, watermark: Watermark) -> list[Conclusion]:
        """Forget windows of broker time that no partition can add to any more."""
        if watermark.append_ms is not None:
            before = watermark.append_ms - KEEP_MS
            for window in [w for w in self._counts if w[1] and (w[2] + 1) * WINDOW_MS[w[0]] < before]:
                self._held -= len(self._counts.pop(window))
        return []

    def state(self) -> Any:
        return {
            "counts": [(*window, counts) for window, counts in self._counts.items()],
            "reported": [(*key, *limit, period) for key, limit, period in self._reported.items],
        }

    def load(self, state: Any) -> None:
        for unit, stamped, number, counts in state["counts"]:
            self._counts[(unit, stamped, number)] = counts
        self._held = sum(len(counts) for counts in self._counts.values())
        self._reported = Remembered((Key(*row[:4]), Limit(*row[4:7]), row[7]) for row in state["reported"])

"""Novelty: an agent uses a tool or acts on a target for the first time, long after it was last new to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from detectors.base import Case, Conclusion, DetectorConfig, Watermark, runbook_of
from detectors.row_rule import quoted
from detectors.window import MINUTE_MS
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl

    from detectors.firsts import Firsts, New

SHOWN = 5
"""Names that a finding gives; the rest are counted."""
KINDS = {"tool": "action", "target": "target"}


class NoveltyConfig(DetectorConfig):
    """When something new is worth a ticket."""

    learning_hours: float = Field(default=168.0, gt=0)
    """Hours since an agent was first seen before anything of it is new."""
    learning_minutes: int = Field(default=240, ge=1)
    """Minutes with actions of it that must have been seen as well."""
    max_new: int = Field(default=5, ge=1)
    """New names within `learning_hours` that are told; an agent that brings more is always new, and quiet."""
    max_names: int = Field(default=500, ge=1)
    """Names of a kind beyond which an agent's are taken as open-ended: nothing of it is new any more."""
    forget_days: float = Field(default=90.0, gt=0)
    """What was not used for so long is new again."""
    max_agents: int = Field(default=100_000, ge=1)
    """Agents that are known; beyond it the longest unseen are forgotten and learn anew."""
    max_items: int = Field(default=2_000_000, ge=1000)
    """Names of all agents together; beyond it the longest unused are forgotten."""


class Novelty:
    """Actions of bound sources, in event time. A ticket, not a page; never trips."""

    name: ClassVar[str] = "novelty"
    Config: ClassVar[type[DetectorConfig]] = NoveltyConfig
    severity: ClassVar[Severity] = "info"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("action", "target")
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="a tool that the agent has not used in eight days",
            events=[
                {"at_s": 0, "times": 400, "spread_s": 700_000, "action": "search"},
                {"at_s": 700_000, "action": "delete_customer", "action_kind": "write"},
            ],
            fires=["rule"],
        ),
        Case(
            name="a young agent is still learning",
            events=[
                {"at_s": 0, "times": 400, "spread_s": 80_000, "action": "search"},
                {"at_s": 80_000, "action": "delete_customer", "action_kind": "write"},
            ],
        ),
        Case(
            name="an agent whose targets are always new",
            events=[{"at_s": i * 1750, "action": "get_order", "target": f"orders/{i}"} for i in range(400)],
        ),
    )

    def __init__(self, config: NoveltyConfig) -> None:
        from detectors.firsts import Firsts, Learning

        self.config = config
        self._firsts: Firsts = Firsts(
            Learning(
                config.learning_hours,
                config.learning_minutes,
                config.max_new,
                config.max_names,
                config.forget_days,
                config.max_agents,
                config.max_items,
            ),
            tuple(KINDS),
        )

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        """Nothing is new before its minute has closed."""
        import polars as pl

        actions = rows.filter(pl.col("bound") & ~pl.col("late") & (pl.col("action_kind") != "none"))
        if actions.height:
            for kind, column in KINDS.items():
                self._firsts.add(actions, kind, column)
        return []

    def close(self, watermark: Watermark) -> list[Conclusion]:
        """What was new in the minutes that have closed."""
        return [self._conclusion(new) for new in self._firsts.close(watermark.event_ms)]

    def _conclusion(self, new: New) -> Conclusion:
        start_ms = new.minute * MINUTE_MS
        shown = ", ".join(name[:100] for name in new.names[:SHOWN])
        more = f" and {len(new.names) - SHOWN} more" if len(new.names) > SHOWN else ""
        names = ", ".join(map(quoted, new.names[:SHOWN]))
        return Conclusion(
            key=new.key,
            window=(start_ms, start_ms + MINUTE_MS),
            time_base="event",
            summary=f"New {new.kind} for this agent: {shown}{more}",
            labels={"new": new.kind},
            facts={"names": shown, "count": len(new.names)},
            condition=f"{KINDS[new.kind]} in ({names})",
        )

    def state(self) -> Any:
        """What is known, and what waits."""
        return self._firsts.state()

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        self._firsts.load(state)

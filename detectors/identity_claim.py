"""Identity claim: a source sends events in the name of an agent or environment that it may not speak for."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field

from detectors.base import Case, Conclusion, DetectorConfig, Watermark, runbook_of
from detectors.key import ALL_AGENTS, Key
from detectors.remembered import MAX_REMEMBERED, Remembered
from detectors.window import HOUR_MS
from schemas.finding import Severity

if TYPE_CHECKING:
    import polars as pl


class IdentityClaimConfig(DetectorConfig):
    """When a false name is reported."""

    max_per_hour: int = Field(default=50, ge=1)
    """Findings about one source's false identities in an hour; beyond it one finding sums them up."""


class Claim(NamedTuple):
    """A source that spoke in a name that is not its own. agent "*" stands for too many names."""

    source: str
    environment: str
    agent_id: str
    hour: int


class IdentityClaim:
    """Events whose source binding does not cover the agent and environment they name.

    Once per (source, claimed environment and agent) and hour of append time; beyond a limit once for
    the source.
    """

    name: ClassVar[str] = "identity_claim"
    Config: ClassVar[type[DetectorConfig]] = IdentityClaimConfig
    severity: ClassVar[Severity] = "warning"
    runbook: ClassVar[str] = runbook_of(name)
    needs: ClassVar[tuple[str, ...]] = ("agent_id", "environment")
    cases: ClassVar[tuple[Case, ...]] = (
        Case(
            name="a source speaks for an agent that is not its own",
            events=[{"at_s": 0, "times": 5, "spread_s": 5, "bound": False}],
            fires=["rule"],
        ),
        Case(
            name="a source speaks for its own agent",
            events=[{"at_s": 0, "times": 5, "spread_s": 5}],
        ),
    )

    def __init__(self, config: IdentityClaimConfig) -> None:
        self.config = config
        self._reported = Remembered[Claim]()
        self._counts: OrderedDict[tuple[str, int], int] = OrderedDict()

    def observe(self, rows: pl.DataFrame) -> list[Conclusion]:
        import polars as pl

        unbound = rows.filter(~pl.col("bound"))
        if unbound.is_empty():
            return []
        hour = (pl.col("broker_time_ms") // HOUR_MS).alias("hour")
        claimed = unbound.select("source", "environment", "agent_id", hour).unique().sort(pl.all())
        new = [claim for row in claimed.iter_rows() if (claim := self._take(Claim._make(row)))]
        while len(self._counts) > MAX_REMEMBERED:
            self._counts.popitem(last=False)
        return [self._conclusion(claim) for claim in new]

    def close(self, watermark: Watermark) -> list[Conclusion]:  # noqa: ARG002 (nothing waits)
        return []

    def _take(self, claim: Claim) -> Claim | None:
        source_hour = (claim.source, claim.hour)
        count, limit = self._counts.get(source_hour, 0), self.config.max_per_hour
        if count > limit or not self._reported.add(claim):
            return None
        self._counts[source_hour] = count + 1
        return claim if count < limit else claim._replace(environment="unbound", agent_id=ALL_AGENTS)

    def _conclusion(self, claim: Claim) -> Conclusion:
        start = claim.hour * HOUR_MS
        return Conclusion(
            key=Key(claim.environment, claim.agent_id, f"source:{claim.source}"),
            window=(start, start + HOUR_MS),
            time_base="append",
            summary=self._say(claim),
            facts={"source": claim.source},
            condition="not bound",
        )

    def _say(self, claim: Claim) -> str:
        if claim.agent_id == ALL_AGENTS:
            limit = self.config.max_per_hour
            return (
                f"Source {claim.source} sent events in the names of more than {limit} agents within an hour"
            )
        return f"Source {claim.source} sent events in this agent's name, which it may not speak for"

    def state(self) -> Any:
        counts = [(*source_hour, count) for source_hour, count in self._counts.items()]
        return {"reported": list(self._reported.items), "counts": counts}

    def load(self, state: Any) -> None:
        self._reported = Remembered(Claim._make(row) for row in state["reported"])
        self._counts.update({(source, hour): count for source, hour, count in state["counts"]})

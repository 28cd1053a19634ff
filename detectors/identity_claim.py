"""Identity claim: a source sends events in the name of an agent or environment that it may not speak for."""

from typing import ClassVar

from detectors.base import Case, runbook_of
from schemas.finding import Severity


class IdentityClaim:
    """Events whose source binding does not cover the agent and environment they name."""

    name: ClassVar[str] = "identity_claim"
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

    def say(self, source: str) -> str:
        return f"Source {source} sent events in this agent's name, which it may not speak for"

    def say_many(self, source: str, limit: int) -> str:
        return f"Source {source} sent events in the names of more than {limit} agents within an hour"

"""What is asked of an agent before it is scaled, and what an answer holds."""

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from pipeline.config import Config
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import duckdb

DAY_MS = 86_400_000

Question = Literal["scoped permissions", "review loop", "logging and alerts", "rollback", "roll-out"]


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must hold."""

    question: Question
    gate: str
    holds: bool
    evidence: str
    """What was seen, with its numbers."""
    missing: str = ""
    """What to do so that it holds; empty where it does."""


class Subject(NamedTuple):
    """Whom it is about, and where that is looked up."""

    connection: "duckdb.DuckDBPyConnection"
    """The store's catalog."""
    config: Config
    agent: str
    environment: str
    since_ms: int
    """Only events that ended from then on count."""
    now_ms: int

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Run a query of ours over `seen`: the agent's events in the environment, from bound sources."""
        seen = (
            "WITH seen AS (FROM events WHERE agent_id = $agent AND environment = $environment AND bound "
            "AND end_time >= make_timestamp($since_us)) "
        )
        values = {"agent": self.agent, "environment": self.environment, "since_us": self.since_ms * 1000}
        return self.connection.execute(seen + query, values).fetchall()

    def one(self, query: str) -> tuple[object, ...]:
        """The only row of such a query."""
        return self.rows(query)[0]


def environment_of(connection: "duckdb.DuckDBPyConnection", agent: str, asked: str | None) -> str:
    """The one that is asked for, else the only one in which the agent was seen. Raises ConfigError."""
    query = "SELECT DISTINCT environment FROM events WHERE agent_id = ? AND bound ORDER BY environment"
    found = [str(row[0]) for row in connection.execute(query, [agent]).fetchall()]
    if asked in found:
        return asked
    if asked is not None or not found:
        where = f" in {asked}" if asked else ""
        raise ConfigError(f"no events of agent {agent}{where} from a bound source; see auditfuse sources")
    if len(found) > 1:
        raise ConfigError(f"agent {agent} runs in {', '.join(found)}: choose one by --environment")
    return found[0]


def gate(question: Question, name: str, holds: bool, evidence: str, missing: str) -> Gate:
    """A gate; `missing` is said only where it does not hold."""
    return Gate(
        question=question, gate=name, holds=holds, evidence=evidence, missing="" if holds else missing
    )


def listed(values: list[object] | list[str], limit: int = 5) -> str:
    """The first few, and how many more."""
    shown = ", ".join(str(value) for value in values[:limit])
    more = len(values) - limit
    return f"{shown} and {more} more" if more > 0 else shown or "none"

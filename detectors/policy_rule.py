"""What every rule of a policy has: whom it is about. And which rules hold for which rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from detectors.globs import Glob, compile_globs

if TYPE_CHECKING:
    import polars as pl

MEMO_LIMIT = 200_000
"""Agents and sources whose rules are remembered; a sender of endless new names must not grow memory."""


class PolicyRule(BaseModel):
    """Whom a rule is about. All rules that match apply: none is undone by another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agents: tuple[Glob, ...] = Field(default=("*",), min_length=1)
    """Globs (case-sensitive) of the agents it holds for."""
    except_agents: tuple[Glob, ...] = ()
    """Globs of agents that it does not hold for after all."""
    environments: tuple[Glob, ...] = Field(default=("*",), min_length=1)
    """Globs of the environments it holds in."""


Rule = TypeVar("Rule", bound=PolicyRule)
Labels = tuple[str, ...]


class Matching(Generic[Rule]):
    """Which rules hold for whom. A function of (environment, agent) alone; what it remembers is a memo."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._patterns = [
            (compile_globs(r.agents), compile_globs(r.except_agents), compile_globs(r.environments))
            for r in rules
        ]
        self._for_all = bool(rules) and all(
            "*" in rule.agents and "*" in rule.environments and not rule.except_agents for rule in rules
        )
        self._memo: dict[int, int] = {}
        self._sets: dict[tuple[int, ...], int] = {}
        self._rules_of: list[list[Rule]] = []
        self._forget()

    def of(self, environment: str, agent_id: str) -> tuple[int, ...]:
        """The positions of the rules that hold for an agent in an environment."""
        return tuple(
            position
            for position, (agents, left_out, environments) in enumerate(self._patterns)
            if environments.match(environment) and agents.match(agent_id) and not left_out.match(agent_id)
        )

    def concerned(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that some rule holds for, with `rules`: the number of their set of rules."""
        import polars as pl

        if self._for_all:
            number = self._number(tuple(range(len(self._rules))))
            return rows.with_columns(pl.lit(number, pl.Int32).alias("rules"))
        memo, keys = self._memo, rows["key"].to_list()
        try:
            numbers = [memo[key] for key in keys]
        except KeyError:
            self._learn(rows)
            numbers = [self._memo[key] for key in keys]
        return rows.with_columns(pl.Series("rules", numbers, pl.Int32)).filter(pl.col("rules") > 0)

    def rules(self, number: int) -> list[Rule]:
        """The rules of a set, in the policy's order."""
        return self._rules_of[number]

    def _learn(self, rows: pl.DataFrame) -> None:
        if len(self._memo) > MEMO_LIMIT:
            self._forget()
        for key, environment, agent_id in rows.select("key", "env", "agent").unique("key").iter_rows():
            if key not in self._memo:
                self._memo[key] = self._number(self.of(environment, agent_id))

    def _number(self, positions: tuple[int, ...]) -> int:
        number = self._sets.setdefault(positions, len(self._sets))
        if number == len(self._rules_of):
            self._rules_of.append([self._rules[position] for position in positions])
        return number

    def _forget(self) -> None:
        """Numbers hold within one batch only; 0 is always the empty set."""
        self._memo, self._sets, self._rules_of = {}, {(): 0}, [[]]


def judged(
    rows: pl.DataFrame,
    columns: Sequence[str],
    labels: Sequence[str],
    judge: Callable[..., Sequence[Labels]],
) -> pl.DataFrame:
    """The rows that violate, once for each violation, with a string column `label.NAME` for each of `labels`.

    `judge` is asked once for all rows that have the same values in `columns`; it answers with the labels of
    each violation.
    """
    import polars as pl

    distinct = rows.select(columns).unique()
    found = [
        (position, *violation)
        for position, values in enumerate(distinct.iter_rows())
        for violation in judge(*values)
    ]
    names = {f"label.{name}": pl.String() for name in labels}
    violating = pl.DataFrame(found, schema={"position": pl.UInt32(), **names}, orient="row")
    if violating.is_empty():
        return rows.clear().with_columns(pl.lit("").alias(name) for name in names)
    of_values = distinct.with_row_index("position").join(violating, on="position").drop("position")
    return rows.join(of_values, on=list(columns), nulls_equal=True, maintain_order="left")


def acted() -> pl.Expr:
    """Boolean: actions that happened. Refused and throttled ones did not, and talking is none."""
    import polars as pl

    return (pl.col("action_kind") != "none") & ~pl.col("outcome").is_in(["denied", "throttled"])


BELIEVED_MS = 60_000
"""A sender's word about a begin is taken up to so long before the broker's append time: calls last, and
exporters batch. So backdating hides no more than a minute."""
BEGAN_FROM = ("start_time_unix_nano", "broker_time_ms", "broker_time_kind")
"""The columns that `began_ms` looks at."""


def began_ms() -> pl.Expr:
    """When the step began, as far as its sender is believed; ms since 1970."""
    import polars as pl

    own_ms, append_ms = pl.col("start_time_unix_nano") // 1_000_000, pl.col("broker_time_ms")
    stamped = pl.col("broker_time_kind") == "append"
    believed = pl.when(stamped).then(pl.max_horizontal(own_ms, append_ms - BELIEVED_MS)).otherwise(own_ms)
    return pl.min_horizontal(believed, append_ms)

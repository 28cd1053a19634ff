"""Overrides: what holds for some agents and environments otherwise than for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from detectors.globs import Glob, first_match
from detectors.key import Key

if TYPE_CHECKING:
    import polars as pl

REMEMBERED = 100_000
"""Agents whose settings are kept."""
WILD = str.maketrans("", "", "*?[]")


class Override(BaseModel):
    """Settings of detectors for some agents and environments. What is left out is as elsewhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agents: tuple[Glob, ...] = ("*",)
    """Globs of agents."""
    environments: tuple[Glob, ...] = ("*",)
    """Globs of environments."""
    detectors: tuple[str, ...] = ()
    """Names of detectors; none: all of them."""
    enabled: bool | None = None
    """Whether findings about these agents are made at all."""
    shadow: bool | None = None
    """Whether they are only stored."""
    per_minute: int | None = Field(default=None, gt=0)
    """The count of a floor."""


class Setting(BaseModel):
    """What holds for one detector and key."""

    model_config = ConfigDict(frozen=True)

    enabled: bool = True
    shadow: bool | None = None
    per_minute: int | None = None


AS_CONFIGURED = Setting()


class Overrides:
    """What holds for a key: the more specific override wins, by agents first, and at a tie the later one."""

    def __init__(self, overrides: Sequence[Override]) -> None:
        self.stated = overrides
        self._remembered = lru_cache(REMEMBERED)(self._look_up)

    def watched(self, detector: str, rows: pl.DataFrame) -> pl.DataFrame:
        """Without the rows of agents that a detector is turned off for."""
        import polars as pl

        off = self._off(detector, rows)
        return rows.filter(~pl.col("key").is_in(off)) if off else rows

    def counted(self, grouped: pl.DataFrame, rows: pl.DataFrame, detectors: Sequence[str]) -> pl.DataFrame:
        """Counts by key of rows, nothing where a detector is turned off. Its columns begin with its name."""
        import polars as pl

        for detector in detectors:
            off = self._off(detector, rows)
            columns = [name for name in grouped.columns if name.startswith(f"{detector}.")]
            if off:
                is_off = pl.col("key").is_in(off)
                grouped = grouped.with_columns(pl.when(is_off).then(0).otherwise(pl.col(columns)).name.keep())
        return grouped

    def _off(self, detector: str, rows: pl.DataFrame) -> list[int]:
        """The keys (hashes) among rows that a detector is turned off for."""
        if not any(
            one.enabled is False and detector in (one.detectors or (detector,)) for one in self.stated
        ):
            return []
        keys = rows.select("key", "env", "agent", "via").unique("key")
        return [hash_ for hash_, *named in keys.iter_rows() if not self.of(detector, Key(*named)).enabled]

    def of(self, detector: str, key: Key) -> Setting:
        """What holds for this detector and key."""
        if not self.stated:
            return AS_CONFIGURED
        return self._remembered(detector, key.environment, key.agent_id)

    def _look_up(self, detector: str, environment_name: str, agent_id: str) -> Setting:
        found: list[tuple[tuple[int, int], Override]] = []
        for one in self.stated:
            agent = first_match(one.agents, agent_id)
            environment = first_match(one.environments, environment_name)
            if agent is not None and environment is not None and detector in (one.detectors or (detector,)):
                found.append(((_specific(agent), _specific(environment)), one))
        changes: dict[str, bool | int] = {}
        for _, one in sorted(found, key=lambda pair: pair[0]):
            changes |= one.model_dump(include=set(Setting.model_fields), exclude_none=True)
        return AS_CONFIGURED.model_copy(update=changes)


def _specific(glob: str) -> int:
    """How many characters it fixes; a name without wildcards is more specific than any glob."""
    fixed = len(glob.translate(WILD))
    return fixed if fixed < len(glob) else 1_000

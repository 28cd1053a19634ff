"""Overrides: what holds for some agents and environments otherwise than for the rest."""

from collections.abc import Sequence
from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field

from detectors.globs import Glob, first_match
from detectors.key import Key

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
        self._overrides = overrides
        self._remembered = lru_cache(REMEMBERED)(self._look_up)

    def of(self, detector: str, key: Key) -> Setting:
        """What holds for this detector and key."""
        if not self._overrides:
            return AS_CONFIGURED
        return self._remembered(detector, key.environment, key.agent_id)

    def _look_up(self, detector: str, environment_name: str, agent_id: str) -> Setting:
        found: list[tuple[tuple[int, int], Override]] = []
        for one in self._overrides:
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

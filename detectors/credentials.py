"""The policy's table of credentials, and where and when each was first used."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from detectors.globs import Glob, first_match
from detectors.remembered import MAX_REMEMBERED


class CredentialRule(BaseModel):
    """Where, by whom and for how long credentials may be used. All rules that match a credential apply."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ids: tuple[Glob, ...] = Field(default=("*",), min_length=1)
    """Globs of `credential_id` as it is stored: most ids are pseudonyms there, `auditfuse pseudonym` says
    which."""
    only_in: tuple[Glob, ...] = ()
    """Globs of the environments in which it may be used; none: in all."""
    only_by: tuple[Glob, ...] = ()
    """Globs of the agents that may use it; none: all."""
    one_environment: bool = False
    """Whether it may be used only in the environment in which it was first seen."""
    max_age_days: int | None = Field(default=None, ge=1)
    """Days after `issued`, else after it was first seen, in which it may be used."""
    issued: date | None = None
    """When it was issued."""

    @model_validator(mode="after")
    def _restricts_something(self) -> Self:
        if not (self.only_in or self.only_by or self.one_environment or self.max_age_days):
            raise ValueError("say what holds: only_in, only_by, one_environment or max_age_days")
        if self.issued and not self.max_age_days:
            raise ValueError("issued says nothing without max_age_days")
        return self

    @property
    def issued_ms(self) -> int | None:
        """The beginning of the day of issue, UTC, in ms since 1970."""
        if self.issued is None:
            return None
        return int(datetime.combine(self.issued, datetime.min.time(), UTC).timestamp() * 1000)


def rules_for(rules: Sequence[CredentialRule], credential: str) -> list[CredentialRule]:
    """The rules that hold for a credential."""
    return [rule for rule in rules if first_match(rule.ids, credential) is not None]


class FirstUse(NamedTuple):
    """The earliest punctual use that was seen."""

    at_ms: int
    environment: str


class FirstUses:
    """The first use of each credential; beyond 100,000 credentials those that came first are forgotten."""

    def __init__(self) -> None:
        self._first: OrderedDict[str, FirstUse] = OrderedDict()

    def __getitem__(self, credential: str) -> FirstUse:
        return self._first[credential]

    def learn(self, uses: Iterable[tuple[str, int, str]]) -> None:
        """Take in (credential, time in ms, environment)."""
        for credential, at_ms, environment in uses:
            use = FirstUse(at_ms, environment)
            self._first[credential] = min(use, self._first.get(credential, use))
        while len(self._first) > MAX_REMEMBERED:
            self._first.popitem(last=False)

    def state(self) -> Any:
        """What a snapshot holds."""
        return [(credential, *use) for credential, use in self._first.items()]

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        self.learn((credential, at_ms, environment) for credential, at_ms, environment in state)

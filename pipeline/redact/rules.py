"""How a policy is configured: operators by type and field, allow and deny lists, types to ignore."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pipeline.redact.operators import Operator, OperatorOrName, from_name

TYPE_NAME = r"^[A-Z][A-Z0-9_]{1,40}$"
MAX_PHRASES = 20_000
MAX_PATTERNS = 200

_Phrase = Annotated[str, Field(min_length=2, max_length=200)]
_Pattern = Annotated[str, Field(min_length=1, max_length=500)]
_Glob = Annotated[str, Field(min_length=1, max_length=200)]
_Type = Annotated[str, Field(pattern=TYPE_NAME)]
_TypeOrAll = Annotated[str, Field(pattern=r"^(?:\*|[A-Z][A-Z0-9_]{1,40})$")]
Phrases = Annotated[tuple[_Phrase, ...], Field(max_length=MAX_PHRASES)]
Patterns = Annotated[tuple[_Pattern, ...], Field(max_length=MAX_PATTERNS)]


class FieldOperator(Operator):
    """The operator of a field, `"drop"` or `{ operator = "mask", keep_last = 4 }`."""

    whole: bool = True
    """Whether it is applied to the field's whole value; false: to what is found in it. keep is always for
    what is found, and never for secrets."""
    type: _Type = "FIELD"
    """The type of a whole value that no recognizer and no key rule knows."""

    @property
    def takes_whole(self) -> bool:
        """Whether the whole value is replaced, whatever is found in it."""
        return self.whole and self.operator != "keep"


FieldOperatorOrName = Annotated[FieldOperator, BeforeValidator(from_name)]


class AllowList(BaseModel):
    """What is not redacted, unless it is a secret or denied."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: Phrases = ()
    """Whole words or phrases, in any case, their words apart by white space, `_` or `-`. A finding stays
    where it lies within one."""
    patterns: Patterns = ()
    """Regular expressions (RE2: linear time); a finding stays where it lies within a match."""


class DenyList(BaseModel):
    """What is always redacted, wherever it stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: _Type = "DENIED"
    """The type that it is named and counted as."""
    values: Phrases = ()
    """Whole words or phrases, in any case, their words apart by white space, `_` or `-`."""
    patterns: Patterns = ()
    """Regular expressions (RE2: linear time)."""


class PolicyRules(BaseModel):
    """What a policy says. Every part may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operators: dict[_TypeOrAll, OperatorOrName] = {}
    """The operator by type; `"*"` for types without one (`keep` and partial masks: not for secrets)."""
    fields: dict[_Glob, FieldOperatorOrName] = {}
    """The operator by event field or payload key, and everything in it: a name or glob, with dots for keys
    within keys (`passengers.*`). Letters' case does not matter; the first that fits decides."""
    ignore: tuple[_Type, ...] = ()
    """Types that are left alone. No secrets."""
    allow: AllowList = AllowList()
    """What is not redacted."""
    deny: tuple[DenyList, ...] = ()
    """What is always redacted."""


class Override(PolicyRules):
    """A policy of its own for some agents, sources or environments: its rules before the general ones."""

    agents: tuple[_Glob, ...] = ()
    """Globs of agent ids, as sent; none: all."""
    sources: tuple[_Glob, ...] = ()
    """Globs of source names; none: all."""
    environments: tuple[_Glob, ...] = ()
    """Globs of environments; none: all."""

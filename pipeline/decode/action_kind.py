"""What a step does to the world: none, read, write or external (leaves the organisation's own systems).

The sender's word is taken where it gives one, else the configured tool patterns, else the verb in
the tool's name (flagged as inferred), else the kind is unknown.
"""

import re
from functools import cached_property
from typing import NamedTuple, cast, get_args

from pydantic import BaseModel, ConfigDict

from pipeline.decode.sources import MEMO_LIMIT, Glob, compile_globs
from schemas.event import ActionKind

KINDS: frozenset[str] = frozenset(get_args(ActionKind))

_VERBS: dict[ActionKind, str] = {
    "external": "send email mail sms notify publish tweet transfer wire pay payout charge refund call dial "
    "forward invite share broadcast release deploy",
    "write": "create write update delete remove insert set put patch add modify edit change cancel book "
    "move rename save store upload drop truncate append assign approve reject merge commit push close "
    "enable disable reset revoke grant execute exec run apply install kill stop start restart "
    "schedule submit post register unregister import archive restore replace upsert issue adjust rollback",
    "read": "get read list search find fetch query lookup look describe show view check count select browse "
    "retrieve scan inspect download export load glob grep ls cat head status summarize validate "
    "verify compare explain",
    "none": "think reason plan calculate compute reflect wait sleep",
}
_KIND_OF_VERB: dict[str, ActionKind] = {
    verb: kind for kind, verbs in _VERBS.items() for verb in verbs.split()
}
_SEVERITY: tuple[ActionKind, ...] = ("none", "read", "write", "external")
_MAX_MEMO_CHARACTERS = 256
_CONJUNCTIONS = {"and", "then", "or"}
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


class ToolPatterns(BaseModel):
    """Globs (case-sensitive) of tool names by what the tool does; external before write before read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    external: tuple[Glob, ...] = ()
    """Tools that act outside the organisation: send mail, pay, publish."""
    write: tuple[Glob, ...] = ()
    """Tools that change something inside."""
    read: tuple[Glob, ...] = ()
    """Tools that only look."""
    none: tuple[Glob, ...] = ()
    """Tools that touch nothing: calculators, scratch pads."""

    @cached_property
    def compiled(self) -> "KindOfTool":
        """Decides the kind of a tool; keeps what it decided."""
        return KindOfTool(self)


class DerivedKind(NamedTuple):
    """A tool's kind, and whether it is a guess from its name."""

    kind: ActionKind
    inferred: bool


class KindOfTool:
    """Tool name → kind by configured patterns, else by the verb in the name."""

    def __init__(self, patterns: ToolPatterns) -> None:
        self._patterns: list[tuple[re.Pattern[str], ActionKind]] = [
            (compile_globs(patterns.external), "external"),
            (compile_globs(patterns.write), "write"),
            (compile_globs(patterns.read), "read"),
            (compile_globs(patterns.none), "none"),
        ]
        self._memo: dict[str, DerivedKind] = {}

    def __call__(self, tool: str) -> DerivedKind:
        """The kind of the tool of that name."""
        if len(tool) > _MAX_MEMO_CHARACTERS:
            return self._decide(tool)
        known = self._memo.get(tool)
        if known is None:
            known = self._decide(tool)
            if len(self._memo) >= MEMO_LIMIT:
                self._memo.clear()
            self._memo[tool] = known
        return known

    def _decide(self, tool: str) -> DerivedKind:
        for pattern, kind in self._patterns:
            if pattern.fullmatch(tool):
                return DerivedKind(kind, inferred=False)
        by_verb = kind_by_verb(tool[:_MAX_MEMO_CHARACTERS])
        return (
            DerivedKind("unknown", inferred=False) if by_verb is None else DerivedKind(by_verb, inferred=True)
        )


def derive_action_kind(claimed: str | None, tool: str | None, patterns: ToolPatterns) -> DerivedKind:
    """The kind of a step. `tool` is None where the step is no tool call, which acts on nothing."""
    if claimed in KINDS and claimed != "unknown":
        return DerivedKind(cast(ActionKind, claimed), inferred=False)
    if tool is None:
        return DerivedKind("none", inferred=False)
    return patterns.compiled(tool)


def kind_by_verb(tool: str) -> ActionKind | None:
    """The kind by the first verb of the name; of verbs joined by "and", the gravest counts."""
    kinds: list[ActionKind] = []
    wants_verb = True
    for token in _TOKEN.findall(tool):
        word = token.lower()
        if word in _CONJUNCTIONS:
            wants_verb = True
        elif wants_verb and word in _KIND_OF_VERB:
            kinds.append(_KIND_OF_VERB[word])
            wants_verb = False
    return max(kinds, key=_SEVERITY.index, default=None)

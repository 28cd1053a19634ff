"""Whether a policy's rules can hold: every type is known, and what is fixed by the design stays so."""

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pipeline.redact.fields import EVENT_FIELDS
from pipeline.redact.rules import PolicyRules
from pipeline.redact.types import personal, secrets
from pipeline.redact.types.keys import KEY_RULES
from pipeline.redact.types.secrets import SECRET_ENTITIES

if TYPE_CHECKING:
    from pipeline.redact.config import RedactionConfig

_FIXED_TYPES = ("ID", "USER_ID")
_FIXED_FIELDS = frozenset(
    name
    for name, kind in EVENT_FIELDS.items()
    if kind in ("trace_id", "span_id", "id", "end_user", "untouched") or name == "agent_id"
)


def known_types(config: "RedactionConfig") -> frozenset[str]:
    """Every type that a value can be found to be under this configuration.

    Where the user has recognizers, asks Presidio's registry (which takes seconds to load)."""
    named = {one.type for r in policies(config) for one in (*r.deny, *r.fields.values())}
    shapes = {shape.entity for shape in (*secrets.PATTERNS, *personal.PATTERNS)}
    by_key = {rule.entity for rule in KEY_RULES}
    own = _registered(config) if has_recognizers(config) else set[str]()
    return frozenset({*config.entities, *shapes, *by_key, *named, *own, *_FIXED_TYPES, "PERSON", "FIELD"})


def word_types(config: "RedactionConfig") -> frozenset[str]:
    """The types of deny lists: of their values, case and white space do not matter."""
    return frozenset(denied.type for rules in policies(config) for denied in rules.deny)


def has_recognizers(config: "RedactionConfig") -> bool:
    """Whether there are recognizers of the user's: what they find is known once they are loaded."""
    return bool(config.recognizers or config.recognizers_file)


def mistakes(config: "RedactionConfig") -> Iterator[str]:
    """Why the rules cannot hold, option by option; of types, `unknown_types` tells."""
    for where, rules in zip(_places(config), policies(config), strict=True):
        yield from _fixed(where, rules)
        yield from _guarded(where, rules)


def unknown_types(config: "RedactionConfig") -> Iterator[str]:
    """Rules for types that nothing looks for."""
    known = known_types(config)
    for where, rules in zip(_places(config), policies(config), strict=True):
        for option, named in (("operators", rules.operators), ("ignore", rules.ignore)):
            yield from (_unknown(where + option, n, known) for n in named if n != "*" and n not in known)


def warnings(config: "RedactionConfig") -> list[str]:
    """What may be meant, and had better be: secrets that stay, or stay in part."""
    return [
        f"{where}operators.{entity}: a secret is {'kept' if operator.operator == 'keep' else 'shown in part'}"
        for where, rules in zip(_places(config), policies(config), strict=True)
        for entity, operator in rules.operators.items()
        if entity in SECRET_ENTITIES and operator.shows_some
    ]


def policies(config: "RedactionConfig") -> list[PolicyRules]:
    """The general rules and those of every override."""
    return [config, *config.overrides]


def _places(config: "RedactionConfig") -> list[str]:
    return ["", *(f"overrides.{number}." for number in range(len(config.overrides)))]


def _fixed(where: str, rules: PolicyRules) -> Iterator[str]:
    for entity in {*rules.operators, *rules.ignore} & {*_FIXED_TYPES}:
        yield f"{where}operators.{entity}: ids that do not pass, and end users, always become pseudonyms"
    for name in rules.fields:
        if name.lower() in _FIXED_FIELDS:
            yield (
                f"{where}fields.{name}: how this event field is treated is fixed"
                f" (ids and end users become pseudonyms); for payload keys of that name write *.{name}"
            )


def _guarded(where: str, rules: PolicyRules) -> Iterator[str]:
    for entity in set(rules.ignore) & SECRET_ENTITIES:
        yield f'{where}ignore: {entity} is a secret; write operators.{entity} = "keep" if you must'
    for denied in {d.type for d in rules.deny}:
        operator = rules.operators.get(denied)
        if (operator and operator.shows_some) or denied in rules.ignore:
            yield f"{where}deny: {denied} is denied and kept; take it out of one of the two"


def _unknown(option: str, entity: str, known: Collection[str]) -> str:
    close = get_close_matches(entity, sorted(known), n=1)
    hint = f"; is it {close[0]}?" if close else ""
    return f"{option}: {entity} is not looked for{hint} (types: {', '.join(sorted(known))})"


def _registered(config: "RedactionConfig") -> set[str]:
    from pipeline.redact.find.registry import recognizers

    return {entity for _, entities in recognizers(config) for entity in entities}

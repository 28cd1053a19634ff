"""Policies: which operator a value meets, and what is redacted always or never."""

import re
import sys
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple

from pipeline.errors import ConfigError
from pipeline.redact import rule_checks
from pipeline.redact.config import RedactionConfig
from pipeline.redact.operators import KEEP, PSEUDONYM, Operator
from pipeline.redact.overrides import merged, most_specific
from pipeline.redact.phrases import Finder
from pipeline.redact.pseudonym import Pseudonyms
from pipeline.redact.rules import AllowList, DenyList, FieldOperator, PolicyRules
from pipeline.redact.spans import Span
from pipeline.redact.types.secrets import SECRET_ENTITIES

REMEMBERED = 10_000
"""Agents, and paths of payload keys: they come from outside."""
DENY_LIST = "deny list"
"""The recognizer of what a deny list names."""


class _Lists(NamedTuple):
    """What is redacted never and always: (type, where it is)."""

    allowed: Finder
    denied: tuple[tuple[str, Finder], ...]


class Policy:
    """One policy, in the place of one field."""

    def __init__(self, rules: PolicyRules, lists: _Lists, pseudonyms: Pseudonyms) -> None:
        self.rules = rules
        self.field: FieldOperator | None = None
        """The rule of the field, if it has one."""
        self.only_pseudonyms = False
        """For names that events are joined by, and for keys: what is not kept becomes a pseudonym."""
        self._lists = lists
        self._pseudonyms = pseudonyms
        self._guarded = SECRET_ENTITIES | {denied.type for denied in rules.deny}
        self._ignored = frozenset(rules.ignore)
        self._operators: dict[str, Operator] = {}

    def derived(self, *, field: FieldOperator | None = None, only_pseudonyms: bool = False) -> "Policy":
        """The same policy for a field with a rule of its own, or for names."""
        policy = Policy(self.rules, self._lists, self._pseudonyms)
        policy.field, policy.only_pseudonyms = field, only_pseudonyms
        return policy

    def finding_all(self) -> "Policy":
        """The same deny lists, nothing that stays, pseudonyms only: to see what a value is."""
        return Policy(PolicyRules(), _Lists(Finder((), (), ""), self._lists.denied), self._pseudonyms)

    def operator(self, entity: str) -> Operator:
        """What happens to values of a type."""
        known = self._operators.get(entity)
        if known is None:
            known = self._operators[entity] = self._operator(entity)
        return known

    def leaves(self, entity: str) -> bool:
        """Whether values of a type stay as they are; a failure (`!…`) never does."""
        if entity[0] == "!":
            return False
        return entity in self._ignored or self.operator(entity).operator == "keep"

    def apply(self, entity: str, value: str) -> str:
        """What is written for `value`, which was found to be an `entity`."""
        if entity in self._ignored:
            return value
        return self.operator(entity).apply(entity, value, self._pseudonyms)

    def is_keyed(self, entity: str) -> bool:
        """Whether what is written for a value of that type stands for it alone: a pseudonym or a hash."""
        return self.operator(entity).operator in ("pseudonym", "hash")

    def unspared(self, text: str, spans: Iterable[Span]) -> list[Span]:
        """The findings in a text without those that stay: of types left alone, and, secrets apart, what lies
        within an allowed phrase."""
        found = [span for span in spans if not self.leaves(span.entity)]
        if not found or not self._lists.allowed:
            return found
        allowed = self._lists.allowed.find(text)
        spared = {s for s in found if not self._never_allowed(s.entity) and _within(s, allowed)}
        # Of an address in a URL there is a finding with the URL before it, and one without.
        addresses = {s.end for s in spared if s.entity == "EMAIL_ADDRESS"}
        return [
            s for s in found if s not in spared and not (s.entity == "EMAIL_ADDRESS" and s.end in addresses)
        ]

    def denials(self, text: str) -> list[Span]:
        """What the deny lists name in a text."""
        return [
            Span(start, end, entity, 1.0, DENY_LIST)
            for entity, finder in self._lists.denied
            for start, end in finder.find(text)
        ]

    def _never_allowed(self, entity: str) -> bool:
        return entity in self._guarded or entity[0] == "!"

    def _operator(self, entity: str) -> Operator:
        guarded = entity in self._guarded
        if self.field is not None and not (guarded and self.field.operator == "keep"):
            return self.field
        by_type = self.rules.operators.get(entity)
        if by_type is None:
            default = self.rules.operators.get("*", PSEUDONYM)
            by_type = PSEUDONYM if guarded and default.shows_some else default
        if self.only_pseudonyms:
            return KEEP if by_type.operator == "keep" else PSEUDONYM
        return by_type


class Policies:
    """Every policy of a configuration, by number; 0 is the default."""

    def __init__(self, config: RedactionConfig, pseudonyms: Pseudonyms) -> None:
        _require_possible(config)
        pseudonyms = pseudonyms.of_words(rule_checks.word_types(config))
        self._overrides = config.overrides
        finders = _Finders()
        self._policies = [Policy(config, finders.lists(config, "redaction"), pseudonyms)]
        for number, override in enumerate(config.overrides):
            rules = merged(config, override)
            lists = finders.lists(rules, f"redaction.overrides.{number}")
            self._policies.append(Policy(rules, lists, pseudonyms))
        self._marks = _marks(config)
        self._has_fields = any(policy.rules.fields for policy in self._policies)
        self._numbers: dict[tuple[int, str], int] = {}
        self.of = lru_cache(REMEMBERED)(self._of) if config.overrides else _default
        """`of(agent_id, source, environment) -> int`: the policy of an event, by its raw names."""
        self.at = lru_cache(REMEMBERED)(self._at) if self._has_fields else _unchanged
        """`at(policy, path) -> int`: the policy in a field: an event field's name, or payload keys joined by
        dots (one key, where no more is known)."""

    def __getitem__(self, number: int) -> Policy:
        return self._policies[number]

    def for_names(self, policy: int) -> int:
        """The policy for `agent_id`, which events are joined by, and for payload keys, which must differ."""
        plain = self._policies[policy]
        if plain.field is None and not plain.rules.operators:
            return policy
        return self._derived(policy, "")

    def has_rule(self, policy: int, path: str) -> bool:
        """Whether a field has a rule of its own: then its numbers are looked at as well."""
        return self._has_fields and self._policies[self.at(policy, path)].field is not None

    def marks(self, text: str) -> list[tuple[int, int]]:
        """Where a text holds what the operator replace writes: it stays when it is redacted again."""
        return [m.span() for m in self._marks.finditer(text)] if self._marks else []

    def _of(self, agent_id: str, source: str, environment: str) -> int:
        return most_specific(self._overrides, agent_id, source, environment)

    def _at(self, policy: int, path: str) -> int:
        if self._policies[policy].only_pseudonyms:
            return policy
        segments = path.lower().split(".")
        for glob in self._policies[policy].rules.fields:
            if _covers(glob, segments):
                return self._derived(policy, glob)
        return policy

    def _derived(self, policy: int, glob: str) -> int:
        """The number of the policy in fields that `glob` covers, or for names ("")."""
        number = self._numbers.get((policy, glob))
        if number is None:
            base = self._policies[policy]
            field = base.rules.fields[glob] if glob else None
            self._policies.append(base.derived(field=field, only_pseudonyms=not glob))
            number = self._numbers[policy, glob] = len(self._policies) - 1
        return number


def _require_possible(config: RedactionConfig) -> None:
    """Raises ConfigError for rules about types that the user's recognizers do not have; warns of secrets that
    stay."""
    if rule_checks.has_recognizers(config):
        unknown = list(rule_checks.unknown_types(config))
        if unknown:
            raise ConfigError(f"redaction: {'; '.join(unknown)}")
    for warning in rule_checks.warnings(config):
        print(f"WARNING: redaction.{warning}", file=sys.stderr)


def check_rules(config: RedactionConfig) -> None:
    """Raises ConfigError for rules that cannot be; warns on stderr of secrets that stay."""
    Policies(config, Pseudonyms(config.pseudonym_key_id, b"", ""))  # no key is needed to see


def _default(agent_id: str, source: str, environment: str) -> int:  # noqa: ARG001  the signature of `of`
    return 0


def _unchanged(policy: int, path: str) -> int:  # noqa: ARG001  the signature of `at`
    return policy


class _Finders:
    """Builds each list once: overrides share the general ones."""

    def __init__(self) -> None:
        self._known: dict[AllowList | DenyList, Finder] = {}

    def lists(self, rules: PolicyRules, where: str) -> _Lists:
        """The lists of a policy."""
        denied = [(d.type, self._finder(d, f"{where}.deny.{n}")) for n, d in enumerate(rules.deny)]
        return _Lists(self._finder(rules.allow, f"{where}.allow"), tuple(denied))

    def _finder(self, one: AllowList | DenyList, where: str) -> Finder:
        if one not in self._known:
            self._known[one] = Finder(one.values, one.patterns, where)
        return self._known[one]


def _marks(config: RedactionConfig) -> re.Pattern[str] | None:
    """What the operator replace may write, under any policy."""
    operators: list[tuple[str, Operator]] = []
    for rules in (config, *config.overrides):
        operators += rules.operators.items()
        operators += (("*", field) for field in rules.fields.values())
    texts: set[str] = set()
    for entity, operator in operators:
        if operator.operator == "replace":
            entities = rule_checks.known_types(config) if entity == "*" else [entity]
            texts |= {operator.mark(one) for one in entities}
    return re.compile("|".join(map(re.escape, sorted(texts)))) if texts else None


def _within(span: Span, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(start <= span.start and span.end <= end for start, end in ranges)


def _covers(glob: str, segments: Sequence[str]) -> bool:
    """Whether a field's glob names a path of keys or one above it: `passengers.*` any `….passengers.name`."""
    wanted = glob.lower().split(".")
    while len(wanted) > 1 and wanted[0] == "*":
        wanted = wanted[1:]  # keys above a key are not always known
    count = len(wanted)
    return any(
        all(map(fnmatchcase, segments[start : start + count], wanted))
        for start in range(len(segments) - count + 1)
    )

"""Which override holds for an event, and what it says together with the general rules.

The most specific one that fits decides: by agent before source before environment, and an exact name or a
longer glob before a shorter one; of equals, the first. Its rules are looked at before the general ones.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from pipeline.redact.config import RedactionConfig
from pipeline.redact.rules import Override, PolicyRules

UNKNOWN_ENVIRONMENT = "unknown"
"""What an event without an environment is stored as."""
_EXACT = 1_000


def general_rules_for(
    config: RedactionConfig, agent_id: str, source: str = "", environment: str = ""
) -> RedactionConfig:
    """The configuration in which the policy of an event is the only one."""
    number = most_specific(config.overrides, agent_id, source, environment)
    rules = merged(config, config.overrides[number - 1]) if number else config
    parts = {name: getattr(rules, name) for name in PolicyRules.model_fields}
    return config.model_copy(update={**parts, "overrides": ()})


def most_specific(overrides: Sequence[Override], agent_id: str, source: str, environment: str) -> int:
    """Which override decides, from 1; 0 where none fits."""
    best, best_rank = 0, (-1, -1, -1)
    for number, override in enumerate(overrides, 1):
        rank = _rank(override, agent_id, source, environment or UNKNOWN_ENVIRONMENT)
        if rank is not None and rank > best_rank:
            best, best_rank = number, rank
    return best


def merged(rules: PolicyRules, override: PolicyRules) -> PolicyRules:
    """The override's rules before the general ones."""
    fields = override.fields | {k: v for k, v in rules.fields.items() if k not in override.fields}
    return PolicyRules(
        operators={**rules.operators, **override.operators},
        fields=fields,
        ignore=(*rules.ignore, *override.ignore),
        allow=rules.allow.model_copy(
            update={
                "values": rules.allow.values + override.allow.values,
                "patterns": rules.allow.patterns + override.allow.patterns,
            }
        ),
        deny=(*rules.deny, *override.deny),
    )


def _rank(override: Override, agent_id: str, source: str, environment: str) -> tuple[int, int, int] | None:
    """How specific an override is for an event; None where it does not fit."""
    pairs = [(override.agents, agent_id), (override.sources, source), (override.environments, environment)]
    ranks = [_closeness(globs, value) for globs, value in pairs]
    return None if None in ranks else (ranks[0] or 0, ranks[1] or 0, ranks[2] or 0)


def _closeness(globs: Sequence[str], value: str) -> int | None:
    """0 for no globs, else more for an exact name and for more characters that are no wildcards."""
    if not globs:
        return 0
    fitting = [glob for glob in globs if fnmatchcase(value, glob)]
    return max((1 + sum(c not in "*?[]" for c in g) + _EXACT * (g == value) for g in fitting), default=None)

"""The policy's table of scopes, which two detectors look at: what is granted, and what of it is used."""

from pydantic import Field

from detectors.globs import Glob
from detectors.policy_rule import PolicyRule


class ScopeRule(PolicyRule):
    """Scopes that agents are granted. What several rules grant an agent adds up; an agent that no rule
    names is not judged."""

    granted: tuple[Glob, ...] = Field(min_length=1)
    """Globs of scopes; a scope without wildcards is also one that should be used, see scope_unused."""

"""Who asks, as the trips' selectors see it: one way for flags, leases and streams."""

from collections.abc import Callable, Iterable

from pipeline.killswitch.compose import MAX_SELECTOR_CHARS
from pipeline.killswitch.state import Context

Aliases = Callable[[str], list[str]]
"""A name → the redacted names among the agents tripped that stand for it."""


def context_of(
    names: Iterable[str | None],
    aliases: Aliases,
    *,
    environment: str | None,
    version: str | None,
    tool: str | None = None,
    approval: str | None = None,
) -> Context:
    """The context of an agent under all `names` it gives, and under the redacted ones that stand for it.

    A blank or missing attribute is covered by every trip, and so is a name that no selector can hold.
    """
    given = [name for name in names if name]
    given += [alias for name in given for alias in aliases(name.strip())]
    agents = [normal(name) for name in given if name.strip()]
    known = frozenset(name for name in agents if name is not None)
    return Context(
        agents=known if known and None not in agents else None,
        environment=normal(environment),
        version=normal(version),
        tool=normal(tool),
        approval=approval or None,
    )


def normal(text: str | None) -> str | None:
    """Casefolded. What is empty, or too long for a selector, is missing: covered by every trip."""
    short = text.strip() if text else ""
    return short.casefold() if 0 < len(short) <= MAX_SELECTOR_CHARS else None

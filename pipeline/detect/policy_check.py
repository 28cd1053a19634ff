"""What is suspicious about a policy: globs that nobody can match whom a source may speak for."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from detectors.policy import Policy
from pipeline.decode.sources import SourceConfig

NAMES = {
    "agents": ("agents", "except_agents", "only_by"),
    "environments": ("environments", "only_in"),
}
"""What of a source is compared with which fields of a rule."""

UNBOUND = {"agents": ["source:*"], "environments": ["unbound"]}
"""What the events of a source are judged as that may not speak for their agent."""


def warnings(policy: Policy, sources: Sequence[SourceConfig]) -> Iterator[str]:
    """A line for each glob of a rule that covers no agent or environment of any source."""
    if not sources:
        return
    for table in Policy.model_fields:
        for position, rule in enumerate(getattr(policy, table)):
            for whose, fields in NAMES.items():
                known = [glob for source in sources for glob in getattr(source, whose)]
                known += UNBOUND[whose]
                for field in fields:
                    for glob in _strange(getattr(rule, field, ()), known):
                        where = f"{table}.{position}.{field}"
                        yield f"{where}: {glob!r} covers none of the {whose} that sources may speak for"


def overlap(one: str, other: str) -> bool:
    """Whether some name is covered by both globs. A class such as [ab] is taken for any character."""
    return _overlap(_tokens(one), _tokens(other))


def _strange(globs: Iterable[str], known: Iterable[str]) -> list[str]:
    return [glob for glob in globs if not any(overlap(glob, other) for other in known)]


def _tokens(glob: str) -> tuple[str, ...]:
    tokens: list[str] = []
    position = 0
    while position < len(glob):
        end = glob.find("]", position + 2) if glob[position] == "[" else -1
        tokens.append("?" if end >= 0 else glob[position])
        position = end + 1 if end >= 0 else position + 1
    return tuple(tokens)


@lru_cache(10_000)
def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    if not one or not other:
        return set(one + other) <= {"*"}
    if one[0] == "*":
        return _overlap(one[1:], other) or _overlap(one, other[1:])
    if other[0] == "*":
        return _overlap(other, one)
    same = one[0] == other[0] or "?" in (one[0], other[0])
    return same and _overlap(one[1:], other[1:])

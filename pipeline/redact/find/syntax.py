"""Patterns in the syntax of Python's `re`, rewritten: a looser form for the one scan, an equal one for RE2.

Both come from the parsed pattern, with every character class written out, so that nothing rests on how
another library reads `\\w`, `\\s` or case. What is not understood has no form, and is run as it is.
"""

import functools
import importlib
import re
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import regex

from pipeline.redact.find.shadow import SAMPLES, stand_ins

Flavour = Literal["re", "regex"]
ops: Any = importlib.import_module("re._constants")
_parser: Any = importlib.import_module("re._parser")

MOST_COUNTED = 6
LEAST_COUNTED = 40
"""The scan's form counts repetitions no further: a long bounded repeat is slow to compile."""
RE2_MAX_REPEAT = 1000
NO_ASCII = r"[^\x00-\x7f]"
"""A class without a member in ASCII."""
_QUOTED = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.S)
_SET_OF_SETS = re.compile(r"(?<!\\)\[(?:\^?\[|[^\]]*(?:\[:|--|&&|~~|\|\|))")
"""Sets within sets, where `regex` may do otherwise than `re`, which warns of them."""
_FOREIGN = re.compile(r"\{(?!\d*,?\d*\})")
"""Outside classes and escapes `regex` reads `{e<=1}` as a fuzzy match; to `re` it is these characters."""
_KNOWN_FLAGS = re.I | re.M | re.S | re.X | re.U


class NotUnderstoodError(Exception):
    """The pattern holds something that has no counterpart."""


class Parsed(NamedTuple):
    """A pattern, its flags (numbered as in `re`) and the module whose classes it means."""

    tree: Any
    flags: int
    flavour: Flavour

    @property
    def max_chars(self) -> int:
        """The longest match; MAXREPEAT or more where there is no bound."""
        return int(self.tree.getwidth()[1])


def parsed(pattern: str, flags: int, flavour: Flavour) -> Parsed:
    """Raises NotUnderstoodError where `re` reads the pattern differently from `flavour`, or not at all."""
    if flags & ~int(_KNOWN_FLAGS) or _FOREIGN.search(_QUOTED.sub("", pattern)):
        raise NotUnderstoodError(pattern)
    if flavour == "regex" and _SET_OF_SETS.search(pattern):
        raise NotUnderstoodError(pattern)
    try:
        tree = _parser.parse(pattern, flags)
    except (re.error, Warning, RecursionError, OverflowError):
        raise NotUnderstoodError(pattern) from None
    return Parsed(tree, int(tree.state.flags), flavour)


@functools.lru_cache(maxsize=4096)
def scan_form(pattern: str, flags: int, flavour: Flavour) -> str | None:
    """A pattern over the bytes of a text's shadow that matches wherever this one matches the text, if any."""
    try:
        tree = parsed(pattern, flags, flavour)
        return _Writer(flavour, loose=True).sequence(tree.tree, tree.flags)
    except NotUnderstoodError:
        return None


def linear_form(pattern: Parsed) -> str:
    """A pattern for RE2 with the same matches on ASCII text. Raises NotUnderstoodError."""
    return _Writer(pattern.flavour, loose=False).sequence(pattern.tree, pattern.flags)


class _Writer:
    """Writes a tree anew. `loose`: over the shadow's bytes, with whatever cannot be said left out."""

    def __init__(self, flavour: Flavour, *, loose: bool) -> None:
        self._flavour = flavour
        self._loose = loose
        self._groups: dict[int, str] = {}

    def sequence(self, tree: Any, flags: int) -> str:
        return "".join(self._node(op, av, flags) for op, av in tree)

    def _node(self, op: Any, av: Any, flags: int) -> str:
        if op in (ops.LITERAL, ops.NOT_LITERAL, ops.IN, ops.ANY):
            return self._characters(op, av, flags)
        if op is ops.BRANCH:
            return "(?:" + "|".join(self.sequence(branch, flags) for branch in av[1]) + ")"
        if op is ops.SUBPATTERN:
            return self._group(av, flags)
        if op in (ops.MAX_REPEAT, ops.MIN_REPEAT):
            return self._repeat(av, flags, lazy=op is ops.MIN_REPEAT)
        if op is ops.AT:
            return self._anchor(av, flags)
        if self._loose:
            return self._loosely(op, av, flags)
        raise NotUnderstoodError(str(op))

    def _group(self, av: Any, flags: int) -> str:
        number, added, removed, body = av
        written = "(?:" + self.sequence(body, (flags | int(added)) & ~int(removed)) + ")"
        if number is not None:
            self._groups[number] = written
        return written

    def _repeat(self, av: Any, flags: int, *, lazy: bool) -> str:
        least, most, body = av
        if self._loose:
            least = min(least, LEAST_COUNTED)
            most = most if most <= MOST_COUNTED or most == least else ops.MAXREPEAT
        elif least > RE2_MAX_REPEAT or RE2_MAX_REPEAT < most < ops.MAXREPEAT:
            raise NotUnderstoodError("a repeat")
        upper = "" if most == ops.MAXREPEAT else str(most)
        times = f"{{{least},{upper}}}" + ("?" if lazy and not self._loose else "")
        return "(?:" + self.sequence(body, flags) + ")" + times

    def _anchor(self, where: Any, flags: int) -> str:
        if where is ops.AT_BOUNDARY:
            return r"\b"
        if self._loose:
            return ""
        lines = flags & re.M
        if where is ops.AT_BEGINNING:
            return "(?m:^)" if lines else r"\A"
        if where is ops.AT_END and lines:
            return "(?m:$)"
        written = {ops.AT_BEGINNING_STRING: r"\A", ops.AT_END_STRING: r"\z", ops.AT_NON_BOUNDARY: r"\B"}
        if where not in written:
            raise NotUnderstoodError(str(where))
        return written[where]

    def _loosely(self, op: Any, av: Any, flags: int) -> str:
        """What only the loose form can stand for: look-around is left out, a reference is its group again."""
        if op in (ops.ASSERT, ops.ASSERT_NOT):
            return ""
        if op is ops.GROUPREF and av in self._groups:
            return self._groups[av]
        if op is ops.ATOMIC_GROUP:
            return "(?:" + self.sequence(av, flags) + ")"
        if op is ops.POSSESSIVE_REPEAT:
            return self._repeat(av, flags, lazy=False)
        raise NotUnderstoodError(str(op))

    def _characters(self, op: Any, av: Any, flags: int) -> str:
        if op is ops.LITERAL:
            items, negated = [(op, av)], False
        elif op is ops.NOT_LITERAL:
            items, negated = [(ops.LITERAL, av)], True
        elif op is ops.ANY:
            items, negated = ([], True) if flags & re.S else ([(ops.LITERAL, ord("\n"))], True)
        else:
            items, negated = [i for i in av if i[0] is not ops.NEGATE], av[0][0] is ops.NEGATE
        frozen = tuple((str(kind), value) for kind, value in items)
        members = _members(frozen, negated, bool(flags & re.I), self._flavour, self._loose)
        return _written(members) if members else NO_ASCII


@functools.cache
def _members(
    items: tuple[tuple[str, Any], ...], negated: bool, caseless: bool, flavour: Flavour, loose: bool
) -> frozenset[int]:
    """The ASCII characters of a class; `loose`: and those that stand for its other members in the shadow."""

    def holds(character: str) -> bool:
        cases = _cases(character) if caseless else (character,)
        return any(_is_in(c, items, flavour) for c in cases) != negated

    members = {code for code in range(128) if holds(chr(code))}
    if loose:
        named = [chr(n) for kind, value in items for n in _beyond_ascii(kind, value)]
        for character in (*SAMPLES, *named):
            if holds(character):
                members |= stand_ins(character)
    return frozenset(members)


@functools.cache
def _cases(character: str) -> tuple[str, ...]:
    forms = {character, character.lower(), character.upper(), character.casefold()}
    return tuple(form for form in forms if len(form) == 1)


def _is_in(character: str, items: Iterable[tuple[str, Any]], flavour: Flavour) -> bool:
    code = ord(character)
    for kind, value in items:
        if kind == "LITERAL" and code == value:
            return True
        if kind == "RANGE" and value[0] <= code <= value[1]:
            return True
        if kind == "CATEGORY" and _is_of(character, str(value), flavour):
            return True
    return False


@functools.cache
def _is_of(character: str, category: str, flavour: Flavour) -> bool:
    match = regex.match if flavour == "regex" else re.match
    return match(_CATEGORIES[category], character) is not None


_CATEGORIES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}


def _beyond_ascii(kind: str, value: Any) -> tuple[int, ...]:
    """Characters beyond ASCII that a class names: their stand-ins belong to it."""
    if kind == "LITERAL" and value > 127:
        return (value, *(ord(c) for c in {chr(value).lower(), chr(value).upper()} if len(c) == 1))
    if kind == "RANGE" and value[1] > 127:
        first = max(128, value[0])
        return tuple(range(first, min(value[1], first + 0x300) + 1))
    return ()


def _written(members: frozenset[int]) -> str:
    """A class of ASCII characters, so that every library reads it alike."""
    if len(members) == 1:
        return _escaped(next(iter(members)))
    ranges: list[list[int]] = []
    for code in sorted(members):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "[" + "".join(_escaped(a) if a == b else f"{_escaped(a)}-{_escaped(b)}" for a, b in ranges) + "]"


def _escaped(code: int) -> str:
    return chr(code) if chr(code).isalnum() else f"\\x{code:02x}"

"""Persons found in one leaf of a message are looked for in its other leaves. Never remembered with them.

Full names are found in any case and with any separator (`mia_li`), unless all their parts occur in
lower case as ordinary words of the same message; single parts only where they are capitalised, have at
least four letters, and are no such words.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, TypeAlias

from pipeline.redact.drafts import Labels
from pipeline.redact.leaf import Redacted
from pipeline.redact.policy import Policies, Policy
from pipeline.redact.pseudonym import TOKEN
from pipeline.redact.ranges import Ranges
from pipeline.redact.spans import Span
from pipeline.redact.tree import Leaf, Node, Part, add_counts, json_string

MAX_NAMES = 200
COMPILED = 256
_PART = re.compile(r"[^\W\d_][^\W\d_'’-]*(?:['’-][^\W\d_]+)*")
_UNIT_BYTES = 2048
"""Up to here a node is tested as a whole before its leaves are."""


class People:
    """What to look for in one message, and a cheap test for it."""

    def __init__(self, full: tuple[tuple[str, ...], ...], single: frozenset[str]) -> None:
        self._full, self._single = full, single
        marks = {parts[0].casefold() for parts in full} | {p.casefold() for p in single}
        self.marks = tuple(sorted(marks))
        """Case-folded strings of which one is in every text that holds a match."""

    # Compiled where a text holds a mark: most persons occur in no other leaf of their message.
    @cached_property
    def anywhere(self) -> re.Pattern[str] | None:
        """The full names."""
        return _any_full(self._full)

    @cached_property
    def in_text(self) -> re.Pattern[str] | None:
        """The single parts, which count in texts alone."""
        return _any_single(self._single)


_Changed: TypeAlias = tuple[bytes | None, Mapping[str, int]]
"""(JSON text or None where nothing changed, counts)."""


class _Known(NamedTuple):
    """What becomes of a batch's leaves, parts and labels with certain persons, by `id`."""

    people: People
    leaves: dict[int, Redacted]
    parts: dict[int, _Changed]
    labels: dict[int, tuple[dict[str, Any], Mapping[str, int]]]


class BatchPeople:
    """What is known of a batch's parts, by `id`: histories repeat them from message to message, with the same
    persons. The parts live as long as it does."""

    def __init__(self, policies: Policies) -> None:
        self.policies = policies
        self._texts: dict[int, str | None] = {}
        self._ordinary: dict[tuple[str, int], bool] = {}
        self._known: dict[int, _Known] = {}

    def of(self, parts: Iterable[Part], labels: Iterable[Labels] = ()) -> "MessagePeople":
        """The persons of one message."""
        return MessagePeople(parts, labels, self)

    def text(self, part: Part | Labels) -> str | None:
        """A text that holds the case-folded text of all leaves of a part; None where that is not known."""
        number = id(part)
        try:
            return self._texts[number]
        except KeyError:
            text = self._texts[number] = _folded(part)
            return text

    def known(self, people: People) -> "_Known":
        """What is known with these persons."""
        return self._known.setdefault(id(people), _Known(people, {}, {}, {}))

    def is_ordinary(self, word: str, part: Part | Labels) -> bool:
        """Whether a word stands in a part in lower case, as a word of its own."""
        key = (word, id(part))
        known = self._ordinary.get(key)
        if known is None:
            known = any(_stands_alone(word, leaf.resolved.text) for leaf in part.leaves())
            self._ordinary[key] = known
        return known


class MessagePeople:
    """The parts of one message with its persons replaced."""

    def __init__(self, parts: Iterable[Part], labels: Iterable[Labels], batch: BatchPeople) -> None:
        self._policies = batch.policies
        units: dict[int, Part | Labels] = {id(one): one for one in labels}
        for part in parts:
            _collect(part, units)
        names = {name for unit in units.values() for name in unit.names}
        texts = _Texts(units, batch)
        people = people_of(names, texts, batch) if names else None
        self._people = people if people and texts.may_hold(people.marks) else None
        self._leaves: dict[int, Redacted] = {}
        self._known: dict[int, _Changed] = {}
        """What is known of each part: of those that hold none of the persons, at once."""
        self._labels: dict[int, tuple[dict[str, Any], Mapping[str, int]]] = {}
        if self._people is None:
            return
        _, self._leaves, self._known, self._labels = batch.known(self._people)
        marks = self._people.marks
        for number, unit in units.items():
            if number in self._known or number in self._labels:
                continue
            text = batch.text(unit)
            if text is None or _any_in(marks, text):
                continue
            if isinstance(unit, Labels):
                self._labels[number] = (unit.changes, unit.counts)
                continue
            self._known[number] = (unit.out, unit.counts)
            if isinstance(unit, Leaf) and unit.result is not None:
                self._leaves[number] = unit.result

    def labels(self, labels: Labels) -> tuple[dict[str, Any], Mapping[str, int]]:
        """What becomes of an event's labels: (new values by field, counts)."""
        if self._people is None:
            return labels.changes, labels.counts
        known = self._labels.get(id(labels))
        if known is None:
            known = self._labels[id(labels)] = labels.changed(self.leaf)
        return known

    def leaf(self, leaf: Leaf) -> Redacted:
        """What becomes of a leaf in this message."""
        known = self._leaves.get(id(leaf))
        if known is None:
            known = self._leaves[id(leaf)] = self._in_leaf(leaf, leaf.resolved)
        return known

    def node(self, node: Node) -> _Changed:
        """What becomes of a node in this message."""
        if self._people is None:
            return node.out, node.counts
        return self._known.get(id(node)) or self._in_node(node)

    def _in_node(self, node: Node) -> _Changed:
        counts: dict[str, int] = {}
        pieces = node.pieces.copy()
        changed = False
        for place, value in zip(node.places, node.values, strict=True):
            out, more = self._known.get(id(value)) or self._in_part(value)
            if out is not None:
                pieces[place], changed = out, True
            if more:
                add_counts(counts, more)
        known = self._known[id(node)] = (node.joined(pieces) if changed else None, counts)
        return known

    def _in_part(self, part: Part) -> _Changed:
        if isinstance(part, Node):
            return self._in_node(part)
        result = self.leaf(part)
        changed = (json_string(result.text), result.counts) if result is not part.result else None
        known = self._known[id(part)] = changed or (part.out, part.counts)
        return known

    def _in_leaf(self, leaf: Leaf, result: Redacted) -> Redacted:
        if self._people is None or leaf.field_class not in ("text", "label"):
            return result
        return redact_people(result, self._people, leaf.field_class == "text", self._policies, leaf.policy)


class _Texts:
    """The texts of a message's units as one: most words stand in none of them, and one search says so."""

    def __init__(self, units: Mapping[int, Part | Labels], batch: BatchPeople) -> None:
        self.units = units.values()
        texts = [batch.text(unit) for unit in self.units]
        known = [text for text in texts if text is not None]
        self._is_known = len(known) == len(texts)
        self._text = "\n".join(known)

    def may_hold(self, words: Iterable[str]) -> bool:
        """Whether one of these, which have no line end in them, may stand in a unit; false is certain."""
        return not self._is_known or _any_in(words, self._text)


def people_of(names: set[str], texts: _Texts, batch: BatchPeople) -> People | None:
    """The persons to look for in a message's units; None where there are none."""
    split, words = _split(frozenset(names))
    ordinary = {word for word in words if texts.may_hold((word,)) and _is_ordinary(word, texts.units, batch)}
    full = [parts for parts in split if len(parts) > 1 and sum(map(len, parts)) >= 5]
    full = [parts for parts in full if not all(p.casefold() in ordinary for p in parts)]
    single = {p for parts in split for p in parts if len(p) >= 4 and p[0].isupper()}
    single = {p for p in single if p.casefold() not in ordinary}
    return _people(tuple(full), frozenset(single)) if full or single else None


@lru_cache(COMPILED)
def _split(names: frozenset[str]) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """(the parts of the longest names, their words of at least four letters, case-folded)."""
    longest = sorted(names, key=lambda n: (-len(n), n))[:MAX_NAMES]
    split = tuple(tuple(parts) for name in longest if (parts := _PART.findall(name)))
    return split, tuple({p.casefold(): None for parts in split for p in parts if len(p) >= 4})


def redact_people(
    redacted: Redacted, people: People, is_text: bool, policies: Policies, policy: int
) -> Redacted:
    """A leaf with the message's persons replaced; what redaction wrote stays."""
    if not _any_in(people.marks, redacted.text.casefold()):
        return redacted
    text, found = redacted.text, 0
    for pattern in (people.anywhere, people.in_text if is_text else None):
        if pattern is not None:
            text, more = _replaced(text, pattern, policies, policies[policy])
            found += more
    if not found:
        return redacted
    counts = dict(redacted.counts)
    add_counts(counts, {"PERSON": found})
    return redacted._replace(text=text, counts=counts)


def _replaced(text: str, pattern: re.Pattern[str], policies: Policies, policy: Policy) -> tuple[str, int]:
    """(the text with each match replaced, how many were), tokens and what operators wrote left alone."""
    matches = [Span(*match.span(), "PERSON", 1.0, "message") for match in pattern.finditer(text)]
    if matches:
        written = Ranges([*(token.span() for token in TOKEN.finditer(text)), *policies.marks(text)])
        matches = [m for m in matches if written.outside(m.start, m.end) == [m[:2]]]
    pieces: list[str] = []
    last = 0
    for span in policy.unspared(text, matches):
        pieces += [text[last : span.start], policy.apply("PERSON", text[span.start : span.end])]
        last = span.end
    return "".join([*pieces, text[last:]]), len(pieces) // 2


def _collect(part: Part, units: dict[int, Part | Labels]) -> None:
    """The leaves and small nodes that a part consists of, each once."""
    if isinstance(part, Node) and len(part.raw) > _UNIT_BYTES:
        for value in part.values:
            if id(value) not in units:
                _collect(value, units)
    else:
        units[id(part)] = part


def _folded(part: Part | Labels) -> str | None:
    """A text that holds the case-folded text of all leaves of a part; None where that is not known."""
    if isinstance(part, Labels):
        return "\n".join(leaf.resolved.text for leaf in part.leaves()).casefold()
    if isinstance(part, Leaf):
        return part.resolved.text.casefold()
    text = part.raw if part.out is None else part.out
    return None if b"\\u" in text else text.decode().casefold()


def _any_in(marks: Iterable[str], text: str) -> bool:
    for mark in marks:  # noqa: SIM110 (a generator costs more than the search)
        if mark in text:
            return True
    return False


def _is_ordinary(word: str, units: Iterable[Part | Labels], batch: BatchPeople) -> bool:
    """Whether a word stands in one of the units in lower case, as a word of its own."""
    for unit in units:
        text = batch.text(unit)
        if (text is None or word in text) and batch.is_ordinary(word, unit):
            return True
    return False


def _stands_alone(word: str, text: str) -> bool:
    start = text.find(word)
    while start >= 0:
        end = start + len(word)
        before, after = text[start - 1 : start], text[end : end + 1]
        if (not before or before.isspace()) and not (after.isalnum() or after in ("_", "-")):
            return True
        start = text.find(word, start + 1)
    return False


@lru_cache(COMPILED)
def _people(full: tuple[tuple[str, ...], ...], single: frozenset[str]) -> People:
    return People(full, single)


def _any_full(names: Iterable[Sequence[str]]) -> re.Pattern[str] | None:
    bodies = dict.fromkeys(r"[\s_.-]{1,3}".join(map(re.escape, parts)) for parts in names)
    return re.compile(rf"(?<![^\W\d_])(?:{'|'.join(bodies)})(?![^\W\d_])", re.IGNORECASE) if bodies else None


def _any_single(parts: Iterable[str]) -> re.Pattern[str] | None:
    ordered = sorted(parts, key=lambda p: (-len(p), p))
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, ordered))})(?!\w)") if ordered else None

"""JSON text as a tree of literal text and leaves, so that only what changes is written anew.

Numbers, white space and the order of keys stay byte for byte. JSON inside strings is opened up too.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from pipeline.redact.fields import FieldClass, is_time_key, key_rule
from pipeline.redact.views import without_surrogates

_LEXEME = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|-?\d[\d.eE+-]*|[{}\[\],]')
_NUMBER_LIKE = re.compile(r"-?\d{9,19}")
_MOST_DIGITS = 19


@dataclass(slots=True, frozen=True)
class Leaf:
    """One string (or number worth a look): how it stands in the JSON text, and what it says."""

    raw: str
    text: str
    field_class: FieldClass
    key: str = ""
    number: bool = False


Part: TypeAlias = "str | Leaf | Node"
"""Literal text, a leaf, or JSON nested in a string."""


@dataclass(slots=True)
class Node:
    """A JSON text in pieces. `raw` is the string token that holds it, where it is nested."""

    raw: str = ""
    parts: list[Part] = field(default_factory=list["Part"])

    def leaves(self) -> Iterator[Leaf]:
        """Every leaf, depth first."""
        for part in self.parts:
            if isinstance(part, Leaf):
                yield part
            elif isinstance(part, Node):
                yield from part.leaves()

    def render(self, redacted: Callable[[Leaf], str]) -> str:
        """The JSON text with each leaf's text replaced; what did not change is as it was."""
        return "".join(self._rendered(redacted))

    def _rendered(self, redacted: Callable[[Leaf], str]) -> Iterator[str]:
        for part in self.parts:
            if isinstance(part, str):
                yield part
            elif isinstance(part, Leaf):
                text = redacted(part)
                yield part.raw if text == part.text else json_string(text)
            elif all(redacted(leaf) == leaf.text for leaf in part.leaves()):
                yield part.raw
            else:
                yield json_string(part.render(redacted))


class NestedTooDeepError(Exception):
    """JSON in strings in JSON, deeper than allowed."""


def parse(text: str, max_nesting: int) -> Node:
    """The tree of a valid JSON text. Raises NestedTooDeepError."""
    node = Node()
    key = ""
    above: list[str] = []
    last = 0
    for match in _LEXEME.finditer(text):
        lexeme = match[0]
        part: Leaf | Node | None = None
        if lexeme in ("{", "["):
            above.append(key)
            key = "" if lexeme == "{" else key
        elif lexeme in ("}", "]"):
            key = above.pop()
        elif match[2] is not None:
            key, part = _key(match[1])
        elif match[1] is not None:
            part = _string(lexeme, key, max_nesting)
        elif lexeme != ",":
            part = _number(lexeme, key)
        if part is not None:
            node.parts.append(text[last : match.start()])
            node.parts.append(part)
            last = match.end(1) if match[1] is not None else match.end()
    node.parts.append(text[last:])
    return node


def is_json(text: str) -> bool:
    """Whether a string holds a JSON object or array."""
    head = text[:64].lstrip()[:1]
    if head not in ("{", "["):
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return False
    return True


def json_string(text: str) -> str:
    """A JSON string token."""
    return msgspec.json.encode(text).decode()


def _key(raw: str) -> tuple[str, Leaf | None]:
    key = _decoded(raw)
    return key, (Leaf(raw, key, "label") if key else None)


def _string(raw: str, key: str, max_nesting: int) -> "Leaf | Node | None":
    text = _decoded(raw)
    if is_json(text) and (key_rule(key) is None):
        if max_nesting <= 0:
            raise NestedTooDeepError
        return Node(raw, parse(text, max_nesting - 1).parts)
    # One or two characters (flags, units) hold nothing, unless their key says so.
    return Leaf(raw, text, "text", key) if len(text) > 2 or (text and key_rule(key)) else None


def _number(raw: str, key: str) -> Leaf | None:
    rule = key_rule(key)
    if rule is not None and rule.entity != "SECRET" and rule.value.fullmatch(raw):
        return Leaf(raw, raw, "text", key, number=True)
    if _NUMBER_LIKE.fullmatch(raw) and not is_time_key(key) and is_card(raw.lstrip("-")):
        return Leaf(raw, raw, "text", "card_number", number=True)
    return None


def is_card(digits: str) -> bool:
    """Whether a number is a card's: an issuer's first digits, 13 to 19 of them, and the Luhn sum."""
    if not 13 <= len(digits) <= _MOST_DIGITS or digits[0] not in "3456":
        return False
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _decoded(raw: str) -> str:
    return without_surrogates(json.loads(raw, strict=False)) if "\\" in raw else raw[1:-1]

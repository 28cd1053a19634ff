"""JSON text to nodes and leaves, so that only what changes is written anew and only what is new costs work.

Numbers, white space and the order of keys stay byte for byte. JSON inside strings is opened up too.
Values that were met before are found by their raw text: a history that repeats its messages costs one look-up
for each of them.
"""

import re
from collections.abc import Callable
from itertools import accumulate
from typing import Protocol, TypeAlias

import msgspec

from pipeline.redact.leaf import Redacted
from pipeline.redact.places import Place, Places
from pipeline.redact.pseudonym import failure
from pipeline.redact.tree import Leaf, LeafKind, Node, Part, plain_kind

LEXEME = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|-?\d[\d.eE+-]*|[{}\[\],]')
_tokens = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+"|[-\d][\d.eE+-]*+)').split
"""Strings and numbers, at odd places, and what stands between them."""
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_NOT_OPENERS = bytes(sorted(set(range(256)) - set(b"[{")))
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
_NO_BRACKETS = frozenset((b",", b", ", b":", b": "))
"""What mostly stands between tokens."""
_NUMBER_LIKE = re.compile(r"-?\d{9,19}")
_LEAST_DIGITS, _MOST_DIGITS = 13, 19
"""Of a card's number."""
MAX_DEPTH = 512
"""Arrays and objects within each other; a string with more is a text, no JSON."""
_SPLIT_DEPTH = 8
"""So deep values are split level by level; what lies deeper is read in one pass."""
REMEMBERED_BYTES = 4096
"""So long a container is remembered as one value; the values in longer ones are remembered each."""
_QUOTE, _BACKSLASH, _OBJECT, _ARRAY, _COLON, _NINE = b'"\\{[:9'
_CONTAINERS = (_OBJECT, _ARRAY)
_STEP = {0x5B: 1, 0x7B: 1, 0x5D: -1, 0x7D: -1}
_OPENERS = ("{", "[")
_MAY_OPEN = frozenset(c for c in map(chr, range(0x3001)) if c in _OPENERS or c.isspace())

_split_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_split_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_skip = msgspec.json.Decoder(msgspec.Raw).decode
_text_of = msgspec.json.Decoder(str).decode

NodeKey: TypeAlias = tuple[object, ...]
"""(context of its place, levels of nesting left, raw text): what a node depends on."""


class Store(Protocol):
    """Where leaves and nodes are shared."""

    def leaf(self, kind: LeafKind, text: str) -> Leaf:
        """The leaf of a text."""
        ...

    def node(self, key: NodeKey) -> Node | None:
        """The node of a raw text that was met before."""
        ...

    def add(self, key: NodeKey | None, node: Node) -> None:
        """A node that was made; those in it were added before it. Without a key it is not remembered."""
        ...


class NotJsonError(Exception):
    """A text that holds no JSON object or array, or one too deep to be opened."""


class Reader:
    """Takes JSON texts apart."""

    def __init__(self, store: Store, places: Places, names_policy: Callable[[int], int]) -> None:
        self._store = store
        self._leaf = store.leaf
        self._places = places
        self._names_policy = names_policy

    def string(self, text: str, place: Place, max_nesting: int) -> Part | None:
        """What a string holds: a node of JSON, a leaf, or None where it is too short to hold anything."""
        if text[:1] in _MAY_OPEN and place.rule is None:
            node = self._nested(text, place, max_nesting)
            if node is not None:
                return node
        # One or two characters (flags, units) hold nothing, unless their key says so.
        if len(text) > 2 or (text and place.reads_all):
            return self._leaf(place.kind, text)
        return None

    def json(self, raw: bytes, place: Place, max_nesting: int) -> Node:
        """The node of a JSON object or array. Raises NotJsonError."""
        try:
            if _is_too_deep(raw):
                raise NotJsonError
            return self._container(raw, place, max_nesting, 0)
        except (msgspec.DecodeError, RecursionError):
            raise NotJsonError from None

    def _nested(self, text: str, place: Place, max_nesting: int) -> Part | None:
        if text[:64].lstrip()[:1] not in _OPENERS:
            return None
        if max_nesting <= 0:
            return _too_nested(text) if is_json(text) else None
        try:
            return self.json(text.encode(), place, max_nesting - 1)
        except (NotJsonError, UnicodeEncodeError):
            return None

    def scalar(self, raw: bytes, place: Place) -> Leaf | None:
        """A number, true, false or null; None where it can hold nothing."""
        return self._number(raw, place) if raw[0] <= _NINE else None

    def _value(self, raw: bytes, place: Place, max_nesting: int, depth: int) -> Part | None:
        head = raw[0]
        if head == _QUOTE:
            return self._token(raw, place, max_nesting)
        if head in _CONTAINERS:
            return self._container(raw, place, max_nesting, depth)
        return self._number(raw, place) if head <= _NINE else None

    def _container(self, raw: bytes, place: Place, max_nesting: int, depth: int) -> Node:
        key = (place.context, max_nesting, raw)
        known = self._store.node(key)
        if known is not None:
            return known
        node = Node(raw)
        # The elements of an outermost array are remembered each: they are messages, which histories repeat.
        is_one = depth >= _SPLIT_DEPTH or (len(raw) <= REMEMBERED_BYTES and (depth > 0 or raw[0] != _ARRAY))
        if is_one or not self._split(node, place, max_nesting, depth + 1):
            if depth == 0:
                _skip(raw)  # what lies within a value that was split is known to be JSON
            node = Node(raw)
            self._read(node, place, max_nesting)
        self._store.add(key, node)
        return node

    def _split(self, node: Node, place: Place, max_nesting: int, depth: int) -> bool:
        """Fill a node value by value; False where its text is not written as usual."""
        if node.raw[0] == _ARRAY:
            self._split_array(node, place, max_nesting, depth)
        elif node.raw[0] == _OBJECT:
            self._split_object(node, place, max_nesting, depth)
        return b"".join(node.pieces) == node.raw

    def _split_array(self, node: Node, place: Place, max_nesting: int, depth: int) -> None:
        elements = list(map(bytes, _split_array(node.raw)))
        between = b", " if elements and node.raw[1 + len(elements[0]) :][:2] == b", " else b","
        pieces = node.pieces = [between] * (2 * len(elements) or 1)
        pieces[0] = b"["
        pieces[1::2] = elements
        pieces.append(b"]")
        places, values = node.places, node.values
        for number, raw in enumerate(elements):
            value = self._value(raw, place, max_nesting, depth)
            if value is not None:
                places.append(2 * number + 1)
                values.append(value)

    def _split_object(self, node: Node, place: Place, max_nesting: int, depth: int) -> None:
        below, links = self._places.below, place.below
        pieces, places, values = [b"{"], node.places, node.values
        between, colon = b",", b":"
        for key, content in _split_object(node.raw).items():
            there = links.get(key) or below(place, key)
            raw, at = bytes(content), len(pieces)
            if at == 1 and node.raw[1 + len(there.token) :][:2] == b": ":
                between, colon = b", ", b": "
            name = there.key_leaf or self._key(there, key)
            if name is not None:
                places.append(at)
                values.append(name)
            value = self._value(raw, there, max_nesting, depth)
            if value is not None:
                places.append(at + 2)
                values.append(value)
            pieces += (there.token, colon, raw, between)
        if len(pieces) > 1:
            pieces[-1] = b"}"
        else:
            pieces.append(b"}")
        node.pieces = pieces

    def _read(self, node: Node, place: Place, max_nesting: int) -> None:
        """Fill a node with all that its text holds, at any depth, whatever its white space, in one pass."""
        pieces = node.pieces = _tokens(node.raw)
        places, values = node.places, node.values
        above: list[Place] = []
        here = place  # of the next value
        _enter(pieces[0], above, here)
        for at in range(1, len(pieces), 2):
            token, after = pieces[at], pieces[at + 1]
            if _COLON in after:  # nothing but a key's stands between tokens
                key = _text_of(token) if _BACKSLASH in token else token[1:-1].decode()
                here = above[-1].below.get(key) or self._places.below(above[-1], key)
                part = here.key_leaf or self._key(here, key)
            elif token[0] == _QUOTE:
                part = self._token(token, here, max_nesting)
            elif len(token) >= _LEAST_DIGITS or here.reads_all:
                part = self._number(token, here)
            else:
                part = None
            if part is not None:
                places.append(at)
                values.append(part)
            if after not in _NO_BRACKETS:
                here = _enter(after, above, here)

    def _key(self, place: Place, key: str) -> Leaf | None:
        if not key:
            return None
        leaf = self._leaf(plain_kind("label", self._names_policy(place.policy)), key)
        if leaf.result is not None:
            place.key_leaf = leaf
        return leaf

    def _token(self, raw: bytes, place: Place, max_nesting: int) -> Part | None:
        text = _text_of(raw) if _BACKSLASH in raw else raw[1:-1].decode()
        if len(text) > 2 and text[:1] not in _MAY_OPEN:  # as most are
            return self._leaf(place.kind, text)
        part = self.string(text, place, max_nesting)
        if not isinstance(part, Node):
            return part
        token = Node(raw, is_token=True)
        token.add(part.raw, part)
        self._store.add(None, token)
        return token

    def _number(self, raw: bytes, place: Place) -> Leaf | None:
        text, rule = raw.decode(), place.rule
        by_rule = rule is not None and rule.entity != "SECRET" and rule.value.fullmatch(text)
        if by_rule or place.examined:
            return self._leaf(place.kind, text)
        if _NUMBER_LIKE.fullmatch(text) and not place.is_time and is_card(text.lstrip("-")):
            return self._leaf(LeafKind("text", "card_number", "", place.kind.policy), text)
        return None


class _Alone:
    """A store of one parse, which shares nothing."""

    def leaf(self, kind: LeafKind, text: str) -> Leaf:
        return Leaf(kind, text)

    def node(self, key: NodeKey) -> Node | None: ...

    def add(self, key: NodeKey | None, node: Node) -> None: ...


def parse(text: str, max_nesting: int) -> Node:
    """The tree of a JSON object or array, by itself. Raises NotJsonError."""
    places = Places(None)
    return Reader(_Alone(), places, lambda policy: policy).json(text.encode(), places.root(0), max_nesting)


def is_json(text: str) -> bool:
    """Whether a string holds a JSON object or array."""
    if text[:64].lstrip()[:1] not in _OPENERS:
        return False
    try:
        raw = text.encode()
        _skip(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return False
    return not _is_too_deep(raw)


def is_card(digits: str) -> bool:
    """Whether a number is a card's: an issuer's first digits, 13 to 19 of them, and the Luhn sum."""
    if not _LEAST_DIGITS <= len(digits) <= _MOST_DIGITS or digits[0] not in "3456":
        return False
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _enter(between: bytes, above: list[Place], here: Place) -> Place:
    """Where the value after some brackets stands; `above` has the places of the containers around it."""
    for bracket in between.translate(None, _NOT_BRACKETS):
        if _STEP[bracket] > 0:
            above.append(here)
        else:
            here = above.pop()
    return here


def _is_too_deep(raw: bytes) -> bool:
    if len(raw) <= MAX_DEPTH or len(raw.translate(None, _NOT_OPENERS)) <= MAX_DEPTH:
        return False
    brackets = _STRING.sub(b"", raw).translate(None, _NOT_BRACKETS)
    return max(accumulate(_STEP[bracket] for bracket in brackets)) > MAX_DEPTH


def _too_nested(text: str) -> Leaf:
    """A string of JSON that is not opened any more."""
    leaf = Leaf(plain_kind("text", 0), text)
    leaf.resolve(Redacted(failure("nested_too_deep", len(text)), {"REDACTION_FAILED": 1}, failed=True))
    return leaf

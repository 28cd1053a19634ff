"""What a payload is taken apart into: leaves, which are redacted, and nodes, which hold them and other text.

Leaves and nodes are shared by all places that hold the same text, within a batch and, by the memo, beyond it.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import msgspec

from pipeline.redact.fields import FieldClass
from pipeline.redact.leaf import Redacted

NONE: Mapping[str, int] = MappingProxyType({})
_encode = msgspec.json.Encoder().encode
_size_of: Callable[["Part"], int] = attrgetter("size")

LEAF_BYTES, NODE_BYTES, HIT_BYTES = 320, 500, 500
"""What they take beside their texts; measured, rounded up."""


class LeafKind(NamedTuple):
    """All that a leaf's result depends on beside its text."""

    field_class: FieldClass
    key: str
    """The payload key above it, where that has a rule."""
    parent: str
    """The key above that one."""
    policy: int
    """The number of the policy."""


@lru_cache(maxsize=1024)
def plain_kind(field_class: FieldClass, policy: int) -> LeafKind:
    """That of a text of whose place nothing else matters."""
    return LeafKind(field_class, "", "", policy)


LeafKey: TypeAlias = tuple[LeafKind, str]


class Leaf:
    """One string (or number worth a look), and what becomes of it once that is known."""

    __slots__ = (
        "counts",
        "field_class",
        "key",
        "marked",
        "names",
        "out",
        "parent",
        "policy",
        "result",
        "size",
        "stamp",
        "text",
    )

    def __init__(self, kind: LeafKind, text: str) -> None:
        self.field_class, self.key, self.parent, self.policy = kind
        self.text = text
        self.result: Redacted | None = None
        self.size = self.stamp = 0
        """Bytes that it takes, the memo's key included."""
        self.out: bytes | None = None
        """The JSON string of the redacted text; None where nothing changed."""
        self.counts = NONE
        self.names: tuple[str, ...] = ()
        self.marked = False
        """Whether it has an `out`, counts or names."""

    @property
    def resolved(self) -> Redacted:
        """What became of it."""
        assert self.result is not None  # noqa: S101 (a batch resolves all its leaves)
        return self.result

    def resolve(self, result: Redacted) -> None:
        """Say what becomes of it."""
        self.result = result
        self.out = None if result.text == self.text else json_string(result.text)
        self.counts = result.counts or NONE
        self.names = result.names
        self.marked = self.out is not None or bool(result.counts or result.names)
        self.size = LEAF_BYTES + text_bytes(self.text)
        if self.out is not None:
            self.size += len(self.out) + text_bytes(result.text) + 400
        if result.hits:
            self.size += sum(HIT_BYTES + text_bytes(hit.value) for hit in result.hits)

    def leaves(self) -> Iterator["Leaf"]:
        """Itself."""
        yield self


class Node:
    """A JSON value in pieces: some of them are leaves and nodes."""

    __slots__ = (
        "counts",
        "is_token",
        "marked",
        "names",
        "out",
        "own",
        "pieces",
        "places",
        "raw",
        "size",
        "stamp",
        "values",
    )

    def __init__(self, raw: bytes, *, is_token: bool = False) -> None:
        self.raw = raw
        """How it stands in the JSON text."""
        self.is_token = is_token
        """Whether it is a JSON string that holds the JSON text of its pieces."""
        self.pieces: list[bytes] = []
        self.places: list[int] = []
        """Which of the pieces stand for `values`."""
        self.values: list[Part] = []
        self.size = self.own = self.stamp = 0
        """Bytes that it takes, the memo's key included: with all its parts, and by itself."""
        self.out: bytes | None = None
        """Redacted; None where nothing changed."""
        self.counts = NONE
        self.names: tuple[str, ...] = ()
        self.marked = False
        """Whether it has an `out`, counts or names."""

    def add(self, piece: bytes, value: "Part | None" = None) -> None:
        """Append a piece of text, and what it stands for."""
        if value is not None:
            self.places.append(len(self.pieces))
            self.values.append(value)
        self.pieces.append(piece)

    def leaves(self) -> Iterator[Leaf]:
        """Every leaf, depth first."""
        for value in self.values:
            yield from value.leaves()

    def finish(self) -> None:
        """Render it and sum up, once everything in it is known."""
        values = self.values
        own = NODE_BYTES + 2 * len(self.raw) + 30 * len(self.pieces)
        size = sum(map(_size_of, values))
        marked = [number for number, value in enumerate(values) if value.marked]
        if marked:
            own += self._sum_up(marked)
        self.own, self.size = own, own + size

    def _sum_up(self, marked: list[int]) -> int:
        """Take in those values that say anything; the bytes of what is redacted."""
        self.marked = True
        counts: dict[str, int] = {}
        names: dict[str, None] = {}
        pieces: list[bytes] | None = None
        for number in marked:
            value = self.values[number]
            if value.out is not None:
                pieces = pieces or self.pieces.copy()
                pieces[self.places[number]] = value.out
            add_counts(counts, value.counts)
            names |= dict.fromkeys(value.names)
        self.counts, self.names = counts or NONE, tuple(names)
        if pieces is None:
            return 0
        self.out = self.joined(pieces)
        return len(self.out)

    def joined(self, pieces: list[bytes]) -> bytes:
        """Its JSON text with other pieces."""
        text = b"".join(pieces)
        return json_string(text.decode()) if self.is_token else text


Part: TypeAlias = Leaf | Node


def weigh(part: Part, generation: int) -> int:
    """Bytes of a part and all its parts that were not weighed in this generation."""
    if part.stamp == generation:
        return 0
    part.stamp = generation
    if isinstance(part, Leaf):
        return part.size
    total = part.own
    for value in part.values:
        if value.stamp != generation:
            total += weigh(value, generation)
    return total


def add_counts(total: dict[str, int], more: Mapping[str, int]) -> None:
    """Add `more` to `total`."""
    for entity, count in more.items():
        total[entity] = total.get(entity, 0) + count


def json_string(text: str) -> bytes:
    """A JSON string token."""
    return _encode(text)


def text_bytes(text: str) -> int:
    """Bytes of a string in memory, without its head."""
    return len(text) if text.isascii() else 4 * len(text)

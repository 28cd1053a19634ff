"""An event in parts: its metadata's leaves by field, and what its payload's three values hold."""

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from pipeline.redact.fields import EVENT_FIELDS, FieldClass
from pipeline.redact.leaf import Redacted
from pipeline.redact.tree import NONE, Leaf, Part, add_counts, weigh
from schemas.event import Event

LABELS = tuple(name for name, kind in EVENT_FIELDS.items() if kind == "label" and name != "scopes")
"""Labels repeat from event to event: all of them together are one look-up."""
OTHERS: tuple[tuple[str, FieldClass], ...] = tuple(
    (name, kind) for name, kind in EVENT_FIELDS.items() if kind not in ("untouched", "payload", "label")
)
PAYLOAD = ("input", "output", "attributes")
LABELS_BYTES = 1500
"""What the labels of one event take beside their leaves; measured, rounded up."""
labels_of: Callable[[Event], tuple[str | None, ...]] = attrgetter(*LABELS)
others_of: Callable[[Event], tuple[str | None, ...]] = attrgetter(*(name for name, _ in OTHERS))


class Labels:
    """The labels of an event, shared by all events that have the same ones."""

    __slots__ = ("changes", "counts", "fields", "names")

    def __init__(self, leaves: list[tuple[str, Leaf]]) -> None:
        self.fields = leaves
        """By field; `scopes` has several."""
        self.changes: dict[str, Any] = {}
        self.counts: Mapping[str, int] = NONE
        self.names: tuple[str, ...] = ()

    def finish(self) -> None:
        """Sum up, once all leaves are resolved."""
        self.changes, self.counts = self.changed(lambda leaf: leaf.resolved)
        self.names = tuple(name for _, leaf in self.fields for name in leaf.names)

    def leaves(self) -> Iterator[Leaf]:
        """Each of them."""
        return (leaf for _, leaf in self.fields)

    def changed(self, result_of: Callable[[Leaf], Redacted]) -> tuple[dict[str, Any], Mapping[str, int]]:
        """(new values by field, counts)."""
        changes: dict[str, Any] = {}
        counts: dict[str, int] = {}
        scopes: list[str] = []
        for name, leaf in self.fields:
            result = result_of(leaf)
            if result.counts:
                add_counts(counts, result.counts)
            if name == "scopes":
                scopes.append(result.text)
            elif result.text != leaf.text:
                changes[name] = result.text
        if scopes:
            changes["scopes"] = scopes
        return changes, counts or NONE

    def size(self) -> int:
        """Bytes that it takes, its leaves included, at most."""
        return LABELS_BYTES + sum(100 + leaf.size for _, leaf in self.fields)

    def weigh(self, generation: int) -> int:
        """Bytes of it and of those leaves that were not weighed in this generation."""
        return LABELS_BYTES + sum(100 + weigh(leaf, generation) for _, leaf in self.fields)


class Draft(NamedTuple):
    """An event before it is put together again."""

    event: Event
    labels: Labels
    others: list[tuple[str, Leaf]]
    payload: list[tuple[str, Part]]
    """Those of `input`, `output` and `attributes` that hold anything."""
    counts: Mapping[str, int]
    """What was replaced before anything was looked for."""

    def parts(self) -> Iterator[Part]:
        """All that persons may stand in beside the labels."""
        for _, leaf in self.others:
            yield leaf
        for _, part in self.payload:
            yield part

    def has_names(self) -> bool:
        """Whether a person was found in it."""
        if self.labels.names:
            return True
        for _, part in (*self.others, *self.payload):  # noqa: SIM110 (a generator costs more)
            if part.names:
                return True
        return False

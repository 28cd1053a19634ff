"""Redaction of events: decode → here → record. A pure function of (message, configuration, keys).

A batch costs one run of the name finder over the strings not seen before; everything else goes leaf by leaf,
and what was seen before costs a look-up.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from pipeline.keys import Keys
from pipeline.redact.batch import Batch, Memory
from pipeline.redact.budget import Budget
from pipeline.redact.config import RedactionConfig
from pipeline.redact.drafts import LABELS, OTHERS, PAYLOAD, Draft, Labels, labels_of, others_of
from pipeline.redact.ids import SPAN_ID, TRACE_ID
from pipeline.redact.leaf import Hit
from pipeline.redact.lookup import pseudonyms_of
from pipeline.redact.payload import NotJsonError, Reader, is_json
from pipeline.redact.people import BatchPeople, MessagePeople
from pipeline.redact.places import Place, Places
from pipeline.redact.policy import Policies, Policy
from pipeline.redact.pseudonym import failure
from pipeline.redact.tree import NONE, Leaf, Node, Part, add_counts, plain_kind
from pipeline.redact.views import without_surrogates
from pipeline.redact.work import LeafWork
from schemas.event import Event
from schemas.record import Payload

__all__ = ["RedactedEvent", "RedactedText", "RedactionConfig", "Redactor"]

_Texts: TypeAlias = list[tuple[str, str | bytes]]
_encode = msgspec.json.Encoder().encode


class RedactedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that may be stored."""

    event: Event
    """All metadata strings redacted by the field table; input, output and attributes emptied."""
    payload: bytes
    """`schemas.record.Payload` as JSON, redacted, or what stands in for it."""
    redactions: dict[str, int]
    """How many values of each type were replaced, metadata and payload together."""
    failed: bool
    """Whether something could not be redacted in its budget and was replaced or cut."""


class RedactedText(NamedTuple):
    """A redacted text and why. `findings` hold the clear values: for a person's own terminal only."""

    text: str
    counts: dict[str, int]
    findings: tuple[Hit, ...]


class Redactor:
    """One a process; not thread-safe. The analyzers load at the first use (about three seconds)."""

    def __init__(self, config: RedactionConfig, keys: Keys) -> None:
        self._config = config
        pseudonyms = pseudonyms_of(config, keys)
        self._policies = Policies(config, pseudonyms)
        self._budget = Budget(config, pseudonyms)
        self._work = LeafWork(config, pseudonyms, self._policies, self._budget)
        self._memory = Memory(config.memo_bytes)
        has_fields = config.fields or any(override.fields for override in config.overrides)
        self._places = Places(self._policies if has_fields else None)
        if not config.enabled:
            print("WARNING: redaction is switched off: everything is stored in the clear", file=sys.stderr)

    @property
    def memo_bytes(self) -> int:
        """What is remembered takes so many bytes at most."""
        return self._memory.memo.bytes

    def policy_of(self, agent_id: str, source: str, environment: str) -> Policy:
        """The policy that holds for events of that agent."""
        return self._policies[self._policies.of(agent_id, source, environment)]

    def redact(self, messages: Sequence[Sequence[Event]], source: str = "") -> list[list[RedactedEvent]]:
        """Redact a batch of messages of a source, each with its events; the result has the same shape.

        Never raises for what a message holds: what cannot be redacted is replaced and counted.
        """
        if not self._config.enabled:
            return [[_in_the_clear(event) for event in message] for message in messages]
        batch = Batch(self._memory)
        reader = Reader(batch, self._places, self._policies.for_names)
        drafts = [[self._draft(event, source, batch, reader) for event in message] for message in messages]
        batch.finish(self._work)
        people = BatchPeople(self._policies)
        return [_message(message, people) for message in drafts]

    def redact_text(self, text: str) -> RedactedText:
        """Redact one text, or one JSON document, as a payload's string would be."""
        if not self._config.enabled:
            return RedactedText(text, {}, ())
        text = without_surrogates(text)
        batch = Batch(self._memory)
        reader = Reader(batch, self._places, self._policies.for_names)
        place = self._places.root(0)
        part: Part
        if is_json(text):
            part = reader.json(text.encode(), place, self._config.max_nesting)
        else:
            part = batch.leaf(plain_kind("text", 0), text)
        batch.finish(self._work)
        people = BatchPeople(self._policies).of([part]) if part.names else None
        if isinstance(part, Leaf):
            result = people.leaf(part) if people else part.resolved
            out, counts = result.text, result.counts
        else:
            raw, counts = people.node(part) if people else (part.out, part.counts)
            out = text if raw is None else raw.decode()
        hits = (
            h
            for leaf in dict.fromkeys(part.leaves())
            for h in (people.leaf(leaf) if people else leaf.resolved).hits
        )
        return RedactedText(out, dict(sorted(counts.items())), tuple(hits))

    def _draft(self, event: Event, source: str, batch: Batch, reader: Reader) -> Draft:
        policy = self._policies.of(event.agent_id, source, event.environment or "")
        labels = self._labels(event, policy, batch)
        others: list[tuple[str, Leaf]] = []
        for (name, kind), text in zip(OTHERS, others_of(event), strict=True):
            if not text or (kind == "trace_id" and TRACE_ID.fullmatch(text)):
                continue
            if kind == "span_id" and SPAN_ID.fullmatch(text):
                continue
            number = self._policies.at(policy, name)
            others.append((name, batch.leaf(plain_kind(kind, number), without_surrogates(text))))
        root = self._places.root(policy)
        try:
            texts = _texts(event)
            event, texts, counts = self._fitted(event, texts)
            parts = [(name, self._part(text, self._places.below(root, name), reader)) for name, text in texts]
        except _NotRedactableError as error:
            return _stand_in(event, labels, others, str(error))
        return Draft(event, labels, others, [(name, part) for name, part in parts if part], counts)

    def _fitted(self, event: Event, texts: _Texts) -> tuple[Event, _Texts, Mapping[str, int]]:
        """The event with as much of its payload as its budget allows, and how much was cut."""
        if self._budget.is_small(text for _, text in texts):
            return event, texts, NONE
        left, nesting = self._budget.of_event(), self._config.max_nesting
        fitted: _Texts = [
            (name, left.string(text, nesting) if isinstance(text, str) else left.json(text, nesting))
            for name, text in texts
        ]
        if not left.cuts:
            return event, texts, NONE
        values = {name: text if isinstance(text, str) else msgspec.Raw(text) for name, text in fitted}
        return msgspec.structs.replace(event, **values), fitted, {"REDACTION_CUT": left.cuts}

    def _labels(self, event: Event, policy: int, batch: Batch) -> Labels:
        key = (policy, labels_of(event), tuple(event.scopes))
        labels = batch.labels(key)
        if labels is None:
            pairs = [(name, text) for name, text in zip(LABELS, key[1], strict=True) if text]
            pairs += [("scopes", scope) for scope in event.scopes]
            labels = Labels(
                [
                    (
                        name,
                        batch.leaf(
                            plain_kind("label", self._policy_of(policy, name)), without_surrogates(text)
                        ),
                    )
                    for name, text in pairs
                ]
            )
            batch.add_labels(key, labels)
        return labels

    def _policy_of(self, policy: int, name: str) -> int:
        return self._policies.at(self._policies.for_names(policy) if name == "agent_id" else policy, name)

    def _part(self, text: str | bytes, place: Place, reader: Reader) -> Part | None:
        try:
            if isinstance(text, str):
                return reader.string(without_surrogates(text), place, self._config.max_nesting)
            if text[:1] in (b"{", b"["):
                return reader.json(text, place, self._config.max_nesting)
            return reader.scalar(text, place)
        except (NotJsonError, RecursionError):
            raise _NotRedactableError("nested_too_deep") from None


def _message(drafts: list[Draft], batch: BatchPeople) -> list[RedactedEvent]:
    people = None
    if any(draft.has_names() for draft in drafts):
        people = batch.of(
            (part for draft in drafts for part in draft.parts()), (draft.labels for draft in drafts)
        )
    return [_assembled(draft, people) for draft in drafts]


class _NotRedactableError(Exception):
    """A payload that can be no record; the message is the reason."""


def _texts(event: Event) -> _Texts:
    """The payload's values that hold anything: strings as they are, everything else as JSON."""
    values = ((name, getattr(event, name)) for name in PAYLOAD)
    try:
        return [
            (name, value if isinstance(value, str) else _encode(value)) for name, value in values if value
        ]
    except (UnicodeError, RecursionError, TypeError, ValueError, msgspec.MsgspecError):
        raise _NotRedactableError("not_encodable") from None


def _stand_in(event: Event, labels: Labels, others: list[tuple[str, Leaf]], reason: str) -> Draft:
    """An event whose payload could not be redacted."""
    bare = msgspec.structs.replace(event, input=failure(reason, 0), output=None, attributes={})
    return Draft(bare, labels, others, [], {"REDACTION_FAILED": 1})


def _assembled(draft: Draft, people: MessagePeople | None) -> RedactedEvent:
    labels, label_counts = draft.labels.changes, draft.labels.counts
    if people is not None:
        labels, label_counts = people.labels(draft.labels)
    bare: dict[str, object] = {"input": None, "output": None, "attributes": {}}
    changes = bare | labels
    counts = dict(draft.counts)
    add_counts(counts, label_counts)
    for name, leaf in draft.others:
        result = people.leaf(leaf) if people else leaf.resolved
        changes[name] = result.text
        if result.counts:
            add_counts(counts, result.counts)
    payload = _payload(draft, people, counts)
    failed = "REDACTION_FAILED" in counts or "REDACTION_CUT" in counts
    if failed and "redaction_failed" not in draft.event.flags:
        changes["flags"] = [*draft.event.flags, "redaction_failed"]
    return RedactedEvent(
        event=msgspec.structs.replace(draft.event, **changes),
        payload=payload,
        redactions=dict(sorted(counts.items())) if counts else {},
        failed=failed,
    )


def _payload(draft: Draft, people: MessagePeople | None, counts: dict[str, int]) -> bytes:
    event = draft.event
    values = {"input": event.input, "output": event.output, "attributes": event.attributes}
    for name, part in draft.payload:
        if isinstance(part, Node):
            out, more = people.node(part) if people else (part.out, part.counts)
            if not isinstance(values[name], str):
                values[name] = msgspec.Raw(part.raw if out is None else out)
            elif out is not None:
                values[name] = out.decode()
        else:
            result = people.leaf(part) if people else part.resolved
            more = result.counts
            if result.text != part.text:
                values[name] = result.text
        if more:
            add_counts(counts, more)
    try:
        return _encode(Payload(**values))
    except (UnicodeError, RecursionError, TypeError, ValueError, msgspec.MsgspecError):
        add_counts(counts, {"REDACTION_FAILED": 1})
        return _encode(Payload(input=failure("not_encodable", 0), output=None, attributes={}))


def _in_the_clear(event: Event) -> RedactedEvent:
    payload = Payload(input=event.input, output=event.output, attributes=event.attributes)
    bare = msgspec.structs.replace(event, input=None, output=None, attributes={})
    return RedactedEvent(event=bare, payload=msgspec.json.encode(payload), redactions={}, failed=False)

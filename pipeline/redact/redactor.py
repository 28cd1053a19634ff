"""Redaction of events: decode → here → record. A pure function of (message, configuration, keys).

A batch costs one run of the name finder over the strings not seen before; everything else goes leaf by leaf.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec

from pipeline.keys import Keys
from pipeline.redact.config import RedactionConfig
from pipeline.redact.fields import EVENT_FIELDS, FieldClass, key_rule
from pipeline.redact.find.names import NameFinder
from pipeline.redact.ids import IdRules
from pipeline.redact.leaf import Hit, LeafRedactor, Redacted, mask_tokens
from pipeline.redact.memo import Memo
from pipeline.redact.payload import Leaf, NestedTooDeepError, Node, is_json, parse
from pipeline.redact.people import People, people_of, redact_people
from pipeline.redact.pseudonym import Pseudonyms, failure
from pipeline.redact.spans import Span
from pipeline.redact.views import TooDeepError, View, views, without_surrogates
from schemas.event import Event
from schemas.record import Payload

__all__ = ["RedactedEvent", "RedactedText", "RedactionConfig", "Redactor"]

_META: list[tuple[str, FieldClass]] = [
    (name, kind) for name, kind in EVENT_FIELDS.items() if kind not in ("untouched", "payload")
]
_Key = tuple[FieldClass, str, str]
"""(class, payload key that has a rule, text): what a result depends on."""


class RedactedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that may be stored."""

    event: Event
    """All metadata strings redacted by the field table; input, output and attributes emptied."""
    payload: bytes
    """`schemas.record.Payload` as JSON, redacted, or what stands in for it."""
    redactions: dict[str, int]
    """How many values of each type were replaced, metadata and payload together."""
    failed: bool
    """Whether something could not be redacted in its budget and was replaced."""


class RedactedText(NamedTuple):
    """A redacted text and why. `findings` hold the clear values: for a person's own terminal only."""

    text: str
    counts: dict[str, int]
    findings: tuple[Hit, ...]


class _Draft(NamedTuple):
    """An event in pieces: its metadata leaves by field, and its payload's tree."""

    event: Event
    meta: list[tuple[str, Leaf]]
    payload: Node
    replaced: bool
    """Whether the payload is a stand-in for one that could not be redacted."""


class Redactor:
    """One a process; not thread-safe. The analyzers load at the first use (about three seconds)."""

    def __init__(self, config: RedactionConfig, keys: Keys) -> None:
        self._config = config
        self._ids = IdRules(config.id_prefixes)
        key = keys.get(f"pseudonym-{config.pseudonym_key_id}")
        self._pseudonyms = Pseudonyms(config.pseudonym_key_id, key, (*config.phone_regions, "US")[0])
        self._memo: Memo[Redacted] = Memo(config.memo_bytes)
        self._names = NameFinder(config) if config.names == "spacy" else None
        self._leaves: LeafRedactor | None = None
        if not config.enabled:
            print("WARNING: redaction is switched off: everything is stored in the clear", file=sys.stderr)

    def redact(self, messages: Sequence[Sequence[Event]]) -> list[list[RedactedEvent]]:
        """Redact a batch of messages, each with its events; the result has the same shape.

        Never raises for what a message holds: what cannot be redacted is replaced and counted.
        """
        if not self._config.enabled:
            return [[_in_the_clear(event) for event in message] for message in messages]
        drafts = [[self._draft(event) for event in message] for message in messages]
        results = self._resolve(leaf for message in drafts for draft in message for leaf in _leaves(draft))
        return [self._message(message, results) for message in drafts]

    def redact_text(self, text: str) -> RedactedText:
        """Redact one text, or one JSON document, as a payload's string would be."""
        if not self._config.enabled:
            return RedactedText(text, {}, ())
        text = without_surrogates(text)
        try:
            node = self._tree(text) if is_json(text) else Node(parts=[Leaf("", text, "text")])
        except _OverBudgetError as over:
            return RedactedText(failure(over.reason, over.length), {"REDACTION_FAILED": 1}, ())
        leaves = list(node.leaves())
        results = _with_people(leaves, self._resolve(leaves), self._pseudonyms)
        if node.parts == leaves:
            out = results[_key_of(leaves[0])].text
        else:
            out = node.render(lambda leaf: results[_key_of(leaf)].text)
        counts: Counter[str] = Counter()
        for leaf in leaves:
            counts.update(results[_key_of(leaf)].counts)
        hits = tuple(h for k in dict.fromkeys(map(_key_of, leaves)) for h in results[k].hits)
        return RedactedText(out, dict(sorted(counts.items())), hits)

    def _draft(self, event: Event) -> _Draft:
        meta: list[tuple[str, Leaf]] = []
        for name, kind in _META:
            value = getattr(event, name)
            texts = cast("list[str]", value) if isinstance(value, list) else [value]
            meta += [(name, Leaf("", without_surrogates(text), kind)) for text in texts if text]
        try:
            return _Draft(event, meta, self._tree(_payload_json(event)), False)
        except _OverBudgetError as over:
            return _Draft(event, meta, _stand_in(over), True)

    def _tree(self, text: str) -> Node:
        if len(text) > self._config.max_event_bytes:
            raise _OverBudgetError("too_large", len(text))
        try:
            return parse(text, self._config.max_nesting)
        except (NestedTooDeepError, RecursionError):
            raise _OverBudgetError("nested_too_deep", len(text)) from None

    def _resolve(self, leaves: Iterable[Leaf]) -> dict[_Key, Redacted]:
        """The result of each distinct leaf, from the memo or worked out in one batch."""
        results: dict[_Key, Redacted] = {}
        pending: dict[_Key, Leaf] = {}
        for leaf in leaves:
            key = _key_of(leaf)
            if key in results or key in pending:
                continue
            known = self._memo.get(key)
            if known is None:
                pending[key] = leaf
            else:
                results[key] = known
        if pending:
            for key, result in self._work_out(pending).items():
                results[key] = result
                self._memo.put(key, result, 2 * len(key[2]) + 2 * len(result.text) + 200 * len(result.hits))
        return results

    def _work_out(self, pending: Mapping[_Key, Leaf]) -> dict[_Key, Redacted]:
        results: dict[_Key, Redacted] = {}
        seen: dict[_Key, list[View]] = {}
        for key in pending:
            try:
                seen[key] = self._views(key)
            except TooDeepError:
                results[key] = _failed("nested_too_deep", key[2])
            except _OverBudgetError as over:
                results[key] = _failed(over.reason, key[2])
        names = self._find_names(seen)
        for key, all_views in seen.items():
            results[key] = self._one(key, all_views, names)
        return results

    def _views(self, key: _Key) -> list[View]:
        kind, _, text = key
        if kind in ("id", "trace_id", "span_id"):
            return []
        if len(text) > self._config.max_value_bytes:
            raise _OverBudgetError("too_large", len(text))
        if text.count("@") > self._config.max_candidates or _runs(text) > self._config.max_candidates:
            raise _OverBudgetError("too_many_candidates", len(text))
        return views(text, self._config.max_nesting)

    def _find_names(self, seen: Mapping[_Key, list[View]]) -> dict[str, list[Span]]:
        if self._names is None:
            return {}
        texts = {
            mask_tokens(view.text)
            for (kind, _, _), all_views in seen.items()
            for view in all_views
            if kind != "label" or any(c.isspace() for c in view.text)
        }
        try:
            return self._names.find(sorted(texts))
        except Exception:  # noqa: BLE001  one text's fault must not touch the others' results
            return {text: self._names_alone(self._names, text) for text in texts}

    def _names_alone(self, finder: NameFinder, text: str) -> list[Span]:
        try:
            return finder.find([text]).get(text, [])
        except Exception:  # noqa: BLE001  fail closed
            return [Span(0, len(text), "!recognizer_error", 1.0, "names")]

    def _one(self, key: _Key, all_views: list[View], names: Mapping[str, list[Span]]) -> Redacted:
        kind, rule_key, text = key
        leaves = self._leaf_redactor()
        try:
            if kind in ("id", "trace_id", "span_id"):
                return leaves.identifier(kind, text)
            if kind == "end_user":
                return leaves.end_user(text, all_views, lambda t: names.get(t, ()))
            return leaves.redact(text, rule_key, all_views, lambda t: names.get(t, ()))
        except Exception:  # noqa: BLE001  a recognizer's fault must not let the value through, nor stop the worker
            return _failed("recognizer_error", text)

    def _leaf_redactor(self) -> LeafRedactor:
        if self._leaves is None:
            from pipeline.redact.find.engine import Engine  # Presidio and spaCy: seconds

            self._leaves = LeafRedactor(Engine(self._config), self._ids, self._pseudonyms)
        return self._leaves

    def _message(self, drafts: list[_Draft], results: dict[_Key, Redacted]) -> list[RedactedEvent]:
        leaves = [leaf for draft in drafts for leaf in _leaves(draft)]
        final = _with_people(leaves, results, self._pseudonyms)
        return [_assembled(draft, final) for draft in drafts]


class _OverBudgetError(Exception):
    """A value costs more than its budget."""

    def __init__(self, reason: str, length: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.length = length


def _leaves(draft: _Draft) -> Iterable[Leaf]:
    for _, leaf in draft.meta:
        yield leaf
    yield from draft.payload.leaves()


def _key_of(leaf: Leaf) -> _Key:
    return (leaf.field_class, leaf.key if leaf.key and key_rule(leaf.key) else "", leaf.text)


def _with_people(
    leaves: Sequence[Leaf], results: dict[_Key, Redacted], pseudonyms: Pseudonyms
) -> dict[_Key, Redacted]:
    """The results of one message, with the persons found in it replaced in all its leaves."""
    keys = dict.fromkeys(map(_key_of, leaves))
    names = [name for key in keys for name in results[key].names]
    if not names:
        return results
    people = people_of(names, [results[key].text for key in keys])
    if people is None:
        return results
    return {key: _with_people_in(key, results[key], people, pseudonyms) for key in keys}


def _with_people_in(key: _Key, result: Redacted, people: People, pseudonyms: Pseudonyms) -> Redacted:
    if key[0] not in ("text", "label"):
        return result
    return redact_people(result, people, key[0] == "text", pseudonyms)


def _assembled(draft: _Draft, results: Mapping[_Key, Redacted]) -> RedactedEvent:
    counts: Counter[str] = Counter()
    for leaf in _leaves(draft):
        counts.update(results[_key_of(leaf)].counts)
    payload = draft.payload.render(lambda leaf: results[_key_of(leaf)].text)
    if draft.replaced:
        counts["REDACTION_FAILED"] += 1
    failed = "REDACTION_FAILED" in counts
    changes: dict[str, Any] = {"input": None, "output": None, "attributes": {}}
    for name, leaf in draft.meta:
        text = results[_key_of(leaf)].text
        if isinstance(getattr(draft.event, name), list):
            changes.setdefault(name, []).append(text)
        else:
            changes[name] = text
    if failed and "redaction_failed" not in draft.event.flags:
        changes["flags"] = [*draft.event.flags, "redaction_failed"]
    event = msgspec.structs.replace(draft.event, **changes)
    return RedactedEvent(
        event=event, payload=payload.encode(), redactions=dict(sorted(counts.items())), failed=failed
    )


def _in_the_clear(event: Event) -> RedactedEvent:
    payload = Payload(input=event.input, output=event.output, attributes=event.attributes)
    bare = msgspec.structs.replace(event, input=None, output=None, attributes={})
    return RedactedEvent(event=bare, payload=msgspec.json.encode(payload), redactions={}, failed=False)


def _payload_json(event: Event) -> str:
    payload = Payload(input=event.input, output=event.output, attributes=event.attributes)
    try:
        return msgspec.json.encode(payload).decode()
    except (UnicodeError, RecursionError, TypeError, ValueError, msgspec.MsgspecError):
        raise _OverBudgetError("not_encodable", 0) from None


def _stand_in(over: _OverBudgetError) -> Node:
    """The payload of an event whose own could not be redacted."""
    token = failure(over.reason, over.length)
    return Node(parts=[msgspec.json.encode(Payload(input=token, output=None, attributes={})).decode()])


def _failed(reason: str, text: str) -> Redacted:
    return Redacted(failure(reason, len(text)), {"REDACTION_FAILED": 1}, failed=True)


def _runs(text: str) -> int:
    """How many runs of digits a text has: each may be a phone number, which costs a millisecond."""
    return len(re.findall(r"\d{3,}", text))

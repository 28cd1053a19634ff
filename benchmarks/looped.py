"""A trace file over and over, as if it went on: later times, fresh ids, other values, as many repeats.

A value that comes back within a pass comes back in every pass, as its variation: so the share of text that
was seen before is the file's own, however often it is read. With `unique` no value ever comes back.
"""

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from itertools import chain, count, islice
from typing import Any, Literal, NamedTuple, TypeAlias

from benchmarks.report import shared
from benchmarks.traces import FILES
from benchmarks.wording import Wording, digits, marked

Role: TypeAlias = Literal["time", "id", "number", "leaf"]

TIMES = frozenset({"start_time_unix_nano", "startTimeUnixNano", "endTimeUnixNano", "timeUnixNano"})
IDS = frozenset(
    {
        *("trace_id", "span_id", "parent_span_id", "session_id", "request_id", "tool_call_id", "approval_id"),
        *("traceId", "spanId", "parentSpanId", "gen_ai.conversation.id", "gen_ai.tool.call.id"),
        "audit.approval.id",
    }
)
TEXTS = frozenset(
    {
        *("input", "output", "attributes", "status_message", "end_user", "user.id", "message"),
        *("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"),
        *("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
    }
)
"""Under these keys everything is a value of the conversation; all else (agents, tools, versions) stays."""
KEPT_IN_TEXTS = frozenset({"role", "type", "name", "finish_reason"})
_ID = re.compile(r"[0-9a-f]{16}|[0-9a-f]{32}|[a-z]+_[A-Za-z0-9]{16,}")
_SPACED = re.compile(r'[\[{]*"(?:[^"\\]|\\.)*+(?:": |", |"\], )')
_HEX, _ALL = "0123456789abcdef", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PAUSE_NS = 60_000_000_000


class Slot(NamedTuple):
    """A value in a message that differs from pass to pass."""

    role: Role
    value: str
    depth: int
    """In so many JSON texts within each other it stands; 0 in the message itself, 1 in a string of it."""
    is_ascii: bool
    """Whether the message writes other characters as escapes."""


Template: TypeAlias = list[str | Slot]


class Looped:
    """The messages of one of FILES without end."""

    def __init__(
        self,
        name: str,
        *,
        unique: bool = False,
        messages: int | None = None,
        lines: list[bytes] | None = None,
    ) -> None:
        """`messages`: only the file's first ones. `lines`: these in place of the file."""
        if lines is None:
            with gzip.open(shared(FILES[name][0])) as file:
                lines = list(islice(file, messages))
        self.format = FILES[name][1]
        self.templates = [_Reading(line.isascii()).template(json.loads(line)) for line in lines]
        self._events = [_events_of(line, self.format) for line in lines]
        slots = [part for template in self.templates for part in template if isinstance(part, Slot)]
        self._wording = Wording({slot.value for slot in slots if slot.role == "leaf"})
        times = [int(slot.value) for slot in slots if slot.role == "time"]
        self._span_ns = max(times, default=0) - min(times, default=0) + PAUSE_NS
        self._unique = unique
        self._said: set[int] = set()
        self._number = count(1)

    @property
    def events_a_message(self) -> float:
        """Of the file as a whole."""
        return sum(self._events) / len(self._events)

    def events_in(self, messages: int) -> int:
        """How many events the first messages hold."""
        whole, rest = divmod(messages, len(self._events))
        return whole * sum(self._events) + sum(self._events[:rest])

    def passes(self, begin_ns: int | None = None) -> Iterator[list[bytes]]:
        """The file, then its variations; `begin_ns` is when the first pass begins, else as in the file."""
        first = min((int(s.value) for t in self.templates for s in t if _is_time(s)), default=0)
        later_ns = 0 if begin_ns is None else begin_ns - first
        for number in count():
            yield self._pass(number, later_ns + number * self._span_ns)

    def messages(self, begin_ns: int | None = None) -> Iterator[bytes]:
        """The messages of all passes in order, without end."""
        return chain.from_iterable(self.passes(begin_ns))

    def _pass(self, number: int, later_ns: int) -> list[bytes]:
        made: dict[Slot, str] = {}
        values: dict[tuple[Role, str], str] = {}
        return [
            "".join(
                part if isinstance(part, str) else self._filled(part, number, later_ns, made, values)
                for part in template
            ).encode()
            for template in self.templates
        ]

    def _filled(
        self,
        slot: Slot,
        number: int,
        later_ns: int,
        made: dict[Slot, str],
        values: dict[tuple[Role, str], str],
    ) -> str:
        text = made.get(slot)
        if text is not None:
            return text
        value = None if self._unique and slot.role == "leaf" else values.get((slot.role, slot.value))
        if value is None:
            value = values[slot.role, slot.value] = self._value(slot, number, later_ns)
        text = _escaped(value, slot.depth, slot.is_ascii)
        if not (self._unique and slot.role == "leaf"):
            made[slot] = text
        return text

    def _value(self, slot: Slot, number: int, later_ns: int) -> str:
        if slot.role == "time":
            return str(int(slot.value) + later_ns)
        if slot.role == "id":
            return fresh_id(slot.value, number)
        if slot.role == "number":
            return digits(slot.value, number)
        if len(slot.value) <= 2:
            return slot.value
        variation = next(self._number) if self._unique else number
        text = self._wording.vary(slot.value, variation)
        if hash(text) in self._said:
            text = marked(text, variation if self._unique else number)
            while hash(text) in self._said:
                text = marked(text, number)
        self._said.add(hash(text))
        return text


def fresh_id(value: str, number: int) -> str:
    """An id of the same form; the same one for the same value and pass."""
    if number == 0 or not value:
        return value
    prefix, _, rest = value.rpartition("_") if "_" in value else ("", "", value)
    letters = _HEX if all(c in _HEX for c in rest) else _ALL
    drawn = hashlib.shake_128(f"{number} {value}".encode()).digest(len(rest))
    made = "".join(letters[byte % len(letters)] for byte in drawn)
    return f"{prefix}_{made}" if prefix else made


class _Reading:
    """Takes one message apart: what stays as text, what differs as slots."""

    def __init__(self, is_ascii: bool) -> None:
        self._parts: Template = [""]
        self._is_ascii = is_ascii

    def template(self, message: Any) -> Template:
        self._value(message, "", 0, in_text=False)
        return self._parts

    def _text(self, text: str, depth: int) -> None:
        last = self._parts[-1]
        assert isinstance(last, str)
        self._parts[-1] = last + _escaped(text, depth, self._is_ascii)

    def _slot(self, role: Role, value: str, depth: int) -> None:
        self._parts += [Slot(role, value, depth, self._is_ascii), ""]

    def _value(self, value: Any, key: str, depth: int, *, in_text: bool, spaced: bool = False) -> None:
        if isinstance(value, dict):
            self._object(value, key, depth, in_text=in_text, spaced=spaced)
        elif isinstance(value, list):
            self._text("[", depth)
            for number, one in enumerate(value):
                if number:
                    self._text(", " if spaced else ",", depth)
                self._value(one, key, depth, in_text=in_text, spaced=spaced)
            self._text("]", depth)
        elif isinstance(value, str):
            self._string(value, key, depth, in_text=in_text)
        elif isinstance(value, bool) or value is None:
            self._text(json.dumps(value), depth)
        elif key in TIMES:
            self._slot("time", str(value), depth)
        elif in_text and abs(value) >= 10:
            self._slot("number", json.dumps(value), depth)
        else:
            self._text(json.dumps(value), depth)

    def _object(self, value: dict[str, Any], key: str, depth: int, *, in_text: bool, spaced: bool) -> None:
        is_attribute = value.keys() == {"key", "value"}
        self._text("{", depth)
        for number, (name, one) in enumerate(value.items()):
            if number:
                self._text(", " if spaced else ",", depth)
            self._text(json.dumps(name, ensure_ascii=False) + (": " if spaced else ":"), depth)
            inner = name if not is_attribute else (value["key"] if name == "value" else "")
            if name in ("stringValue", "intValue", "doubleValue", "values", "arrayValue") and key:
                inner = key
            is_text = in_text or inner in TEXTS
            self._value(one, inner, depth, in_text=is_text and inner != "key", spaced=spaced)
        self._text("}", depth)

    def _string(self, text: str, key: str, depth: int, *, in_text: bool) -> None:
        self._text('"', depth)
        if key in TIMES and text.isdigit():
            self._slot("time", text, depth + 1)
        elif key in IDS or _ID.fullmatch(text):
            self._slot("id", text, depth + 1)
        elif not in_text or key in KEPT_IN_TEXTS:
            self._text(text, depth + 1)
        elif (nested := _json_in(text)) is not None:
            is_spaced = _SPACED.match(text) is not None
            self._value(nested, key, depth + 1, in_text=True, spaced=is_spaced)
        else:
            self._slot("leaf", text, depth + 1)
        self._text('"', depth)


def _json_in(text: str) -> Any:
    if text[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _events_of(line: bytes, file_format: str) -> int:
    """A span has one id."""
    return 1 if file_format == "events" else line.count(b'"spanId"')


def _is_time(part: str | Slot) -> bool:
    return isinstance(part, Slot) and part.role == "time"


def _escaped(text: str, depth: int, is_ascii: bool) -> str:
    for level in range(1, depth + 1):
        text = json.dumps(text, ensure_ascii=is_ascii and level == depth)[1:-1]
    return text

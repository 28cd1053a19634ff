"""What a value and an event may cost. The rest is cut: its length and a keyed hash stay, nothing else of it.

Budgets count bytes and candidates, never seconds: what is cut depends on the message alone.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from pipeline.redact.config import RedactionConfig
from pipeline.redact.leaf import Hit, Redacted
from pipeline.redact.payload import LEXEME, is_json
from pipeline.redact.pseudonym import Pseudonyms
from pipeline.redact.ranges import Ranges
from pipeline.redact.tree import add_counts, json_string

MARGIN_CHARS = 512
"""So much after a cut is looked at as well: a value that lies across it must be recognized."""
TOKEN_BYTES = 80
"""Room for what stands for the rest, so that what was cut once fits."""
BOUNDARY_CHARS = 4096
"""So far before its budget a text is cut to end between words."""
MAX_TRIES = 4
_RUN = re.compile(r"\d{3,}|@")
_TEXT_OF = msgspec.json.Decoder(str).decode
_MAY_OPEN = frozenset([b"{", b"[", b" ", b"\\"])
_TOKENS = 6
"""About as many stand in a payload that is cut: one for each text that is JSON, one for each later value."""
_MARKS = frozenset([b"{", b"}", b"[", b"]", b","])
_CLOSERS = {b"{": b"}", b"[": b"]"}


class Limit(NamedTuple):
    """How much of a text is within its budget."""

    chars: int
    reason: str


class Budget:
    """The caps of one configuration."""

    def __init__(self, config: RedactionConfig, pseudonyms: Pseudonyms) -> None:
        self._config = config
        self._pseudonyms = pseudonyms

    def of_value(self, text: str) -> Limit | None:
        """What of a text may be looked at; None where all of it may."""
        limit = Limit(len(text), "")
        # A character takes at most four bytes, a candidate at least one character.
        if 4 * len(text) > self._config.max_value_bytes:
            raw = text.encode("utf-8", "replace")
            if len(raw) > self._config.max_value_bytes:
                head = raw[: self._config.max_value_bytes - TOKEN_BYTES].decode("utf-8", "ignore")
                limit = Limit(len(head), "value_bytes")
        if len(text) > self._config.max_candidates:
            for number, match in enumerate(_RUN.finditer(text, 0, limit.chars)):
                if number == self._config.max_candidates:
                    return Limit(match.start(), "value_candidates")
        return limit if limit.chars < len(text) else None

    def cut(self, text: str, limit: Limit, redact: Callable[[str], Redacted]) -> Redacted:
        """A text up to its limit, redacted, and what stands for the rest. No value that `redact` finds in the
        text around the limit is left half."""
        found = redact(text[: limit.chars + MARGIN_CHARS])
        end = _between_words(text, limit.chars)
        for _ in range(MAX_TRIES):
            end = min((hit.start for hit in found.hits if hit.start < end < hit.end), default=end)
            head = redact(text[:end])
            missed = _missed(found.hits, head.hits, end)
            if not missed:
                break
            end = min(hit.start for hit in missed)
        else:
            end, head = 0, Redacted("", {})
        counts = dict(head.counts)
        add_counts(counts, {"REDACTION_CUT": 1})
        return head._replace(text=head.text + self.token(limit.reason, text[end:]), counts=counts)

    def token(self, reason: str, rest: str) -> str:
        """What stands for text that was cut off."""
        hashed = self._pseudonyms.token("REDACTION_CUT", rest).partition(":")[2]
        return f"<REDACTION_CUT:{reason}:{len(rest)}:{hashed}"

    def of_event(self) -> "EventBudget":
        """A budget for one event."""
        return EventBudget(self._config, self.token)

    def is_small(self, texts: Iterable[str | bytes]) -> bool:
        """Whether an event's values are within its budget whatever they hold; a cheap test that most pass."""
        texts, config = list(texts), self._config
        chars = candidates = sum(map(len, texts))
        if 6 * chars > min(config.max_event_bytes, config.max_names_bytes):
            return False
        if candidates <= config.max_event_candidates:
            return True
        candidates = sum(
            text.count('"') // 2 + text.count("@") + len(text) // 4 + 1 for text in map(_read, texts)
        )
        return candidates <= config.max_event_candidates


def _read(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode()


class EventBudget:
    """What is left for the values of one event, in document order. Once it is used up, the rest is cut."""

    def __init__(self, config: RedactionConfig, token: Callable[[str, str], str]) -> None:
        self._token = token
        self._value_bytes = config.max_value_bytes
        self._left = {
            "event_bytes": config.max_event_bytes - _TOKENS * TOKEN_BYTES,
            "event_candidates": config.max_event_candidates,
            "event_names": config.max_names_bytes if config.names != "off" else config.max_event_bytes,
        }
        self._met: set[bytes] = set()
        self.cuts = 0
        """How many values were cut."""
        self._reason = ""

    def string(self, text: str, max_nesting: int) -> str:
        """A string, as much of it as fits."""
        if max_nesting > 0 and is_json(text):
            return self.json(text.encode(), max_nesting - 1).decode()
        return text if self._takes(text.encode("utf-8", "replace"), is_value=True) else self._cut(text)

    def json(self, raw: bytes, max_nesting: int) -> bytes:
        """A JSON text, as much of it as fits, valid again."""
        closers: list[bytes] = []
        pieces: list[bytes] = []
        last = done = 0
        for match in LEXEME.finditer(raw):
            lexeme, start = match[0], match.start()
            last, before = match.end(), last
            is_mark = lexeme in _MARKS
            token = b"" if is_mark else match[1] or lexeme
            self._spend(last - before - len(token), 0, 0)
            if lexeme in _CLOSERS:
                closers.append(_CLOSERS[lexeme])
            elif lexeme in (b"}", b"]"):
                closers.pop()
            elif match[1] is not None and match[2] is None and (inner := self._inner(lexeme, max_nesting)):
                pieces += [raw[done:start], inner]
                done = last
            elif not is_mark and not self._takes(token, is_value=match[2] is None):
                instead = json_string(self._cut(raw[start:].decode()))
                instead += b":null" if match[2] is not None else b""
                return b"".join([*pieces, raw[done:start], instead, *reversed(closers)])
        return b"".join([*pieces, raw[done:]])

    def _inner(self, lexeme: bytes, max_nesting: int) -> bytes | None:
        """A string that holds JSON, as much of it as fits; None for any other string."""
        if self._reason or max_nesting <= 0 or lexeme[1:2] not in _MAY_OPEN:
            return None
        text = _TEXT_OF(lexeme)
        if not is_json(text):
            return None
        cut = self.json(text.encode(), max_nesting - 1)
        return json_string(cut.decode()) if self._reason else lexeme

    def _takes(self, raw: bytes, *, is_value: bool) -> bool:
        """Whether a value or key is within the budget; if so, it is spent."""
        size = min(len(raw), self._value_bytes)
        if raw in self._met:
            return self._spend(size, 0, 0)
        self._met.add(raw)
        candidates = 1 + sum(1 for _ in _RUN.finditer(raw.decode("utf-8", "replace")))
        return self._spend(size, candidates, size if is_value else 0)

    def _spend(self, size: int, candidates: int, names: int) -> bool:
        for reason, cost in (("event_bytes", size), ("event_candidates", candidates), ("event_names", names)):
            self._left[reason] -= cost
            if self._left[reason] < 0 and not self._reason:
                self._reason = reason
        return not self._reason

    def _cut(self, rest: str) -> str:
        self.cuts += 1
        return self._token(self._reason, rest)


def _between_words(text: str, end: int) -> int:
    """The last place before `end` that lies between words, at most BOUNDARY_CHARS away."""
    low = max(0, end - BOUNDARY_CHARS)
    if end < len(text) and text[end].isspace():
        return end
    return next((at + 1 for at in range(end - 1, low, -1) if text[at].isspace()), low)


def _missed(found: Sequence[Hit], again: Sequence[Hit], end: int) -> list[Hit]:
    """Those findings before `end` of which something is not found again."""
    covered = Ranges([(hit.start, hit.end) for hit in again])
    return [hit for hit in found if hit.end <= end and covered.outside(hit.start, hit.end)]

"""One pattern run over a text: the same spans as stock, in time proportional to the text.

RE2 runs what it can express on ASCII text. `regex` runs the rest: whole texts where no match can be long,
else lines and pieces, with words too long for a pattern that may be quadratic taken out and failed.
"""

import re
from collections.abc import Iterator
from typing import Any

import re2
import regex

from pipeline.redact.find.syntax import NotUnderstoodError, Parsed, linear_form, ops, parsed, scan_form
from pipeline.redact.spans import Span, segments

LONGEST_MATCH_CHARS = 512
"""Up to here a pattern is run over the whole text: its work per character is bounded."""
LONGEST_WORD_CHARS = 512
TIMEOUT_SECONDS = 10.0
"""For one piece; only a pattern of the user's own can need it. It raises: stock would skip the pattern."""
TOO_LONG = "!word_too_long"
_LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD_CHARS + 1},}}")
_REPEATED_MANY = 2


class PatternScan:
    """A compiled pattern of a Presidio recognizer. `flags` are those of `regex`."""

    def __init__(self, pattern: str, flags: int) -> None:
        self._regex: Any = regex.compile(pattern, flags)
        self._linear: Any = None
        self._whole = self._guarded = False
        self.form = scan_form(pattern, flags, "regex")
        """The pattern's scan form; None where it has none and must always be run."""
        try:
            tree = parsed(pattern, flags, "regex")
        except NotUnderstoodError:
            self._guarded = True
            return
        self._whole = tree.max_chars <= LONGEST_MATCH_CHARS
        self._guarded = not self._whole and _unbounded_repeats(tree.tree) >= _REPEATED_MANY
        self._linear = _re2(tree)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """The pattern's matches, empty ones left out. Raises TimeoutError."""
        if self._linear is not None and text.isascii():
            return (m.span() for m in self._linear.finditer(text.encode()) if m.end() > m.start())
        if self._whole:
            found = self._regex.finditer(text, timeout=TIMEOUT_SECONDS)
            return (m.span() for m in found if m.end() > m.start())
        return self._in_pieces(text)

    def may_match(self, text: str) -> bool:
        """Whether the pattern matches anywhere; false is certain. Raises TimeoutError."""
        return not self._whole or self._regex.search(text, timeout=TIMEOUT_SECONDS) is not None

    def too_long(self, text: str) -> list[Span]:
        """The words that `spans` leaves out of a text; they must be redacted as failures."""
        if not self._guarded or (self._linear is not None and text.isascii()):
            return []
        return [Span(*match.span(), TOO_LONG, 1.0, "budget") for match in _LONG_WORD.finditer(text)]

    def _in_pieces(self, text: str) -> Iterator[tuple[int, int]]:
        if self._guarded:
            text = _LONG_WORD.sub(lambda m: " " * len(m[0]), text)
        for offset, piece in segments(text):
            for match in self._regex.finditer(piece, timeout=TIMEOUT_SECONDS):
                if match.end() > match.start():
                    yield offset + match.start(), offset + match.end()


def _re2(tree: Parsed) -> Any:
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    try:
        return re2.compile(linear_form(tree), options)
    except (NotUnderstoodError, re2.error):
        return None


def _unbounded_repeats(tree: Any) -> int:
    """How many repetitions without an upper bound a parsed pattern holds."""
    count = 0
    stack: list[Any] = [tree]
    while stack:
        item: Any = stack.pop()
        if isinstance(item, (int, str, dict)) or not hasattr(item, "__iter__"):
            continue
        parts: list[Any] = list(item)
        if parts and parts[0] in (ops.MAX_REPEAT, ops.MIN_REPEAT):
            count += int(parts[1][1] == ops.MAXREPEAT)
        stack += parts
    return count

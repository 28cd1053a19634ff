"""The analysis of one text by every active pattern recognizer: Presidio's results, bounded in cost."""

import re
from typing import NamedTuple

from presidio_analyzer import EntityRecognizer

from pipeline.redact import context
from pipeline.redact.config import RedactionConfig
from pipeline.redact.gate import Features, gate_of
from pipeline.redact.recognizers import OfflineEmailRecognizer, ShapeRecognizer, active, build_registry

SEGMENT_CHARS = 1200
"""Up to here a text is one segment; longer ones are cut into lines, and long lines in pieces."""
LINE_CHARS = 4000
OVERLAP_CHARS = 256
MAX_ADDRESS_CHARS = 512
_AT_WORD = re.compile(r"[^\s@]{0,2048}@\S{0,2048}")


class Span(NamedTuple):
    """A finding in a text: characters [start, end). An entity that starts with `!` is a failure's reason."""

    start: int
    end: int
    entity: str
    score: float
    recognizer: str


class Engine:
    """Built once a process (about two seconds, most of it imports)."""

    def __init__(self, config: RedactionConfig) -> None:
        self._threshold = config.threshold
        self._entities = list(config.entities)
        recognizers = active(build_registry(config), config)
        gated = [(r, gate_of(r, config.threshold)) for r in recognizers]
        self._shapes = [(r, g) for r, g in gated if isinstance(r, ShapeRecognizer)]
        self._email = [r for r, _ in gated if type(r) is OfflineEmailRecognizer]
        self._stock = [
            (r, g) for r, g in gated if not isinstance(r, (ShapeRecognizer, OfflineEmailRecognizer))
        ]

    def analyze(self, text: str) -> list[Span]:
        """Every finding at or above the threshold, overlaps included, in no particular order."""
        whole = Features.of(text)
        spans = [s for r, g in self._shapes if g(whole) for s in _run(r, text, 0, [])]
        if "@" in text:
            spans += self._addresses(text)
        for offset, segment in segments(text):
            spans += self._segment(text, offset, segment, whole)
        return [s for s in spans if s.score >= self._threshold]

    def secrets(self, text: str) -> list[Span]:
        """Only what our own shapes find: named secrets."""
        whole = Features.of(text)
        return [s for r, g in self._shapes if g(whole) for s in _run(r, text, 0, [])]

    def _segment(self, text: str, offset: int, segment: str, whole: Features) -> list[Span]:
        # One segment is the whole text in most cases: its features are known already.
        features = (
            whole if len(segment) == len(text) else Features.of(segment)._replace(lowered=whole.lowered)
        )
        spans: list[Span] = []
        for recognizer, gate in self._stock:
            if gate(features):
                found = _run(recognizer, segment, offset, self._entities)
                spans += [_with_context(span, text, recognizer) for span in found]
        return spans

    def _addresses(self, text: str) -> list[Span]:
        """E-mail, word by word: the stock pattern is quadratic in a word, and never crosses white space."""
        spans: list[Span] = []
        for match in _AT_WORD.finditer(text):
            if len(match[0]) > MAX_ADDRESS_CHARS:
                spans.append(Span(*match.span(), "!word_too_long", 1.0, "budget"))
                continue
            for recognizer in self._email:
                found = _run(recognizer, match[0], match.start(), self._entities)
                spans += [_with_context(span, text, recognizer) for span in found]
        return spans


def segments(text: str) -> list[tuple[int, str]]:
    """(offset, part) pairs that cover the text: lines, and overlapping pieces of long lines."""
    if len(text) <= SEGMENT_CHARS:
        return [(0, text)]
    parts: list[tuple[int, str]] = []
    offset = 0
    for line in text.splitlines(keepends=True):
        step = LINE_CHARS - OVERLAP_CHARS
        starts = range(0, max(1, len(line) - OVERLAP_CHARS), step)
        parts += [(offset + start, line[start : start + LINE_CHARS]) for start in starts]
        offset += len(line)
    return parts


def _run(recognizer: EntityRecognizer, text: str, offset: int, entities: list[str]) -> list[Span]:
    found = recognizer.analyze(text=text, entities=entities, nlp_artifacts=None)  # pyright: ignore[reportArgumentType]
    return [
        Span(r.start + offset, r.end + offset, r.entity_type, r.score, recognizer.name) for r in found or ()
    ]


def _with_context(span: Span, text: str, recognizer: EntityRecognizer) -> Span:
    words = recognizer.context
    if words and context.supports(text, span.start, span.end, words):
        return span._replace(score=context.boosted(span.score))
    return span

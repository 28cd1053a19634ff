"""The analysis of one text by every active pattern recognizer: Presidio's results, bounded in cost."""

import re

from presidio_analyzer import EntityRecognizer

from pipeline.redact.config import RedactionConfig
from pipeline.redact.find import context
from pipeline.redact.find.gate import Features, gate_of
from pipeline.redact.find.registry import OfflineEmailRecognizer, active, build_registry
from pipeline.redact.find.shapes import ShapeRecognizer
from pipeline.redact.spans import Span, segments

MAX_ADDRESS_CHARS = 512
_ADDRESS_RUN = re.compile(r"[!#$%&'*+\-/=?^_`{|}~.\w@]+")
"""Runs of the characters that the stock pattern takes: no address crosses their ends."""


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
        """E-mail, run by run: the stock pattern is quadratic in the length of a run."""
        spans: list[Span] = []
        for match in _ADDRESS_RUN.finditer(text):
            if "@" not in match[0]:
                continue
            if len(match[0]) > MAX_ADDRESS_CHARS:
                spans.append(Span(*match.span(), "!word_too_long", 1.0, "budget"))
                continue
            for recognizer in self._email:
                found = _run(recognizer, match[0], match.start(), self._entities)
                spans += [_with_context(span, text, recognizer) for span in found]
        return spans


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

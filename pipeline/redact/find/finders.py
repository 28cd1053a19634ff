"""How each kind of recognizer is run. Whatever is not known here is run as it is, on every text."""

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

import regex
from presidio_analyzer import EntityRecognizer, Pattern, PatternRecognizer
from presidio_analyzer.predefined_recognizers import IbanRecognizer, PhoneRecognizer

from pipeline.redact.find.context import ContextWords, boosted
from pipeline.redact.find.phone import FORM, PhoneWalk
from pipeline.redact.find.registry import OfflineEmailRecognizer
from pipeline.redact.find.scan import TOO_LONG, PatternScan
from pipeline.redact.find.shapes import ShapeRecognizer
from pipeline.redact.find.syntax import scan_form
from pipeline.redact.spans import Span, segments

LONGEST_ADDRESS_CHARS = 512
"""A longer run with an at-sign in it is failed, not examined."""
_ADDRESS_RUN = regex.compile(r"[!#$%&'*+\-/=?^_`{|}~.\w@]+")
"""Runs of the characters that the stock pattern takes: no address crosses their ends. By `regex`, to which
combining marks are parts of words."""

Look = Callable[[str], list[Span]]


class Finder(NamedTuple):
    """One pattern, or one recognizer that is no pattern."""

    look: Look
    form: str | None = None
    """Its scan form; None: looks at every text."""
    context: ContextWords | None = None
    """The words that raise its scores."""
    needs: frozenset[str] | None = None
    """Scan forms of words without one of which no finding counts; None: it needs none."""
    entities: frozenset[str] = frozenset()
    """What it finds."""

    def may_find(self, entities: frozenset[str]) -> bool:
        """Whether it finds any of these."""
        return not self.entities.isdisjoint(entities)


class _TimeoutWatch(logging.Filter):
    """Presidio logs a pattern that ran out of time and goes on without it; here that is an error.

    It also logs values that it fails on: nothing of its log is let through.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def filter(self, record: logging.LogRecord) -> bool:
        self.seen += bool(record.exc_info and isinstance(record.exc_info[1], TimeoutError))
        return False


_watch = _TimeoutWatch()
_log = logging.getLogger("presidio-analyzer")
_log.setLevel(logging.WARNING)
_log.addFilter(_watch)


def finders_of(recognizer: EntityRecognizer, entities: list[str], threshold: float) -> list[Finder]:
    """The finders of one recognizer that is asked for these entities."""
    found = frozenset((*entities, *recognizer.supported_entities))
    return [finder._replace(entities=found) for finder in _finders_of(recognizer, entities, threshold)]


def _finders_of(recognizer: EntityRecognizer, entities: list[str], threshold: float) -> list[Finder]:
    words = ContextWords(recognizer.context) if recognizer.context else None
    if isinstance(recognizer, ShapeRecognizer):
        return [_shape(recognizer)]
    if type(recognizer) is PhoneRecognizer:
        return [_phone(recognizer, words)]
    if isinstance(recognizer, PatternRecognizer) and _scores_as_stock(recognizer):
        analyze = cast("Any", type(recognizer).analyze)
        if analyze is OfflineEmailRecognizer.analyze:
            return [
                _addresses(cast("OfflineEmailRecognizer", recognizer), p, words) for p in recognizer.patterns
            ]
        if analyze is PatternRecognizer.analyze:
            found = (_pattern(recognizer, p, words, threshold) for p in recognizer.patterns)
            return [f for f in found if f is not None]
        if analyze is IbanRecognizer.analyze:
            scans = [_scan(recognizer, pattern) for pattern in recognizer.patterns]
            return [Finder(_as_it_is(recognizer, entities, scan), scan.form, words) for scan in scans]
    return [Finder(_as_it_is(recognizer, entities), None, words)]


def _scores_as_stock(recognizer: EntityRecognizer) -> bool:
    return type(recognizer).enhance_using_context is EntityRecognizer.enhance_using_context


def _scan(recognizer: PatternRecognizer, pattern: Pattern) -> PatternScan:
    return PatternScan(pattern.regex, int(recognizer.global_regex_flags or 0))


def _pattern(
    recognizer: PatternRecognizer, pattern: Pattern, words: ContextWords | None, threshold: float
) -> Finder | None:
    """None where no finding could reach the threshold."""
    scan = _scan(recognizer, pattern)
    decided = type(recognizer).validate_result is not PatternRecognizer.validate_result
    needs: frozenset[str] | None = None
    if pattern.score < threshold and not decided:
        if words is None or boosted(pattern.score) < threshold:
            return None
        needs = words.triggers

    def look(text: str) -> list[Span]:
        return scan.too_long(text) + _judged(recognizer, pattern, text, scan.spans(text))

    return Finder(look, scan.form, words, needs)


def _judged(
    recognizer: PatternRecognizer, pattern: Pattern, text: str, places: Iterable[tuple[int, int]]
) -> list[Span]:
    """The spans that stock validation leaves, with their scores."""
    spans: list[Span] = []
    entity, name = recognizer.supported_entities[0], recognizer.name
    for start, end in places:
        value = text[start:end]
        verdict = recognizer.validate_result(value)
        score = pattern.score if verdict is None else float(verdict)
        if recognizer.invalidate_result(value):
            score = 0.0
        if score > 0:
            spans.append(Span(start, end, entity, score, name))
    return spans


def _addresses(recognizer: OfflineEmailRecognizer, pattern: Pattern, words: ContextWords | None) -> Finder:
    """E-mail, run by run: no address crosses the end of a run, and a run can be refused for its length."""
    scan = _scan(recognizer, pattern)

    def look(text: str) -> list[Span]:
        spans: list[Span] = []
        for run in _ADDRESS_RUN.finditer(text):
            if "@" not in run[0]:
                continue
            if len(run[0]) > LONGEST_ADDRESS_CHARS:
                spans.append(Span(*run.span(), TOO_LONG, 1.0, "budget"))
                continue
            for found in _judged(recognizer, pattern, run[0], scan.spans(run[0])):
                places = [(found.start, found.end), *recognizer.tails(run[0], found.start, found.end)]
                spans += [found._replace(start=run.start() + a, end=run.start() + b) for a, b in places]
        return spans

    return Finder(look, scan.form, words)


def _phone(recognizer: PhoneRecognizer, words: ContextWords | None) -> Finder:
    walk = PhoneWalk(
        tuple(cast("Iterable[str]", recognizer.supported_regions)), int(recognizer.leniency or 0)
    )
    entity, name, score = recognizer.supported_entities[0], recognizer.name, recognizer.SCORE

    def look(text: str) -> list[Span]:
        return [Span(*place, entity, score, name) for place in dict.fromkeys(walk.spans(text))]

    return Finder(look, scan_form(FORM, int(re.I), "re"), words)


def _shape(recognizer: ShapeRecognizer) -> Finder:
    shape = recognizer.shape
    form = scan_form(shape.pattern.pattern, shape.pattern.flags, "re")

    def look(text: str) -> list[Span]:
        if form is None and shape.literals and not any(word in text.lower() for word in shape.literals):
            return []
        return [
            Span(*place, shape.entity, recognizer.SCORE, recognizer.name) for place in recognizer.places(text)
        ]

    return Finder(look, form)


def _as_it_is(recognizer: EntityRecognizer, entities: list[str], scan: PatternScan | None = None) -> Look:
    """A recognizer by its own `analyze`, on lines and pieces of a long text, without NLP artifacts; where
    its pattern is given, on those that it matches: scan forms, which open the gate, match many more."""

    def look(text: str) -> list[Span]:
        spans: list[Span] = []
        for offset, piece in segments(text):
            if scan is not None and not scan.may_match(piece):
                continue
            before = _watch.seen
            found = recognizer.analyze(text=piece, entities=entities, nlp_artifacts=cast("Any", None)) or []
            if _watch.seen != before:
                raise TimeoutError(f"{recognizer.name} ran out of time")
            spans += [
                Span(offset + r.start, offset + r.end, r.entity_type, r.score, recognizer.name)
                for r in found
                if r.entity_type in entities
            ]
        return spans

    return look

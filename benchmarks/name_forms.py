"""Names, places and addresses that no training pool holds, in the forms of real traces, by locale."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benchmarks.scoring import Removed, Sentence, half_gone, mask
from training.corpus.forms import FORMS, LOCALES, NATIVE_LOCALES, texts

A_CELL = 24
"""Texts of one form in one locale."""
NEUTRAL = {"ORG"}
NAMED = {"PERSON", "LOCATION", "STREET_ADDRESS", "NRP", "ORGANIZATION"}
"""Only these types can be false here: the texts hold e-mail addresses and numbers that have no label."""


class Framed(NamedTuple):
    """A text of one form with values of one locale."""

    form: str
    locale: str
    sentence: Sentence


class FormScore(NamedTuple):
    """Shares of values of which at least half was redacted, as whatever type."""

    forms: dict[str, float]
    """Of persons in LOCALES, by form."""
    locales: dict[str, float]
    """Of persons, by locale; NATIVE_LOCALES have their names in their own script."""
    kinds: dict[str, float]
    """Of all values in LOCALES, by kind."""
    false: float
    """Of the letters and digits that are no value's, those redacted as a name or an address."""


def framed(a_cell: int = A_CELL, locales: Iterable[str] = (*LOCALES, *NATIVE_LOCALES)) -> list[Framed]:
    """So many texts of each form and locale, always the same."""
    return [
        Framed(form, locale, Sentence(text, spans))
        for locale in locales
        for form in FORMS
        for text, spans in texts(form, locale, a_cell)
    ]


def score_forms(found: Sequence[Framed], redacted: Sequence[Sequence[Removed]]) -> FormScore:
    """Score what was redacted of each text."""
    total, hit = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    false = other = 0
    for one, ranges in zip(found, redacted, strict=True):
        length = len(one.sentence.text)
        gone = mask(length, ranges)
        named = mask(length, [span for span in ranges if span.entity in NAMED])
        for start, end, kind in one.sentence.spans:
            cells = _cells(one, kind)
            total.update(cells)
            hit.update(cells if half_gone(gone, start, end) else ())
        for character, kind, was in zip(one.sentence.text, one.sentence.types(), named, strict=True):
            counted = kind is None and character.isalnum()
            other += counted
            false += counted and was

    def shares(what: str) -> dict[str, float]:
        return {name: hit[what, name] / n for (of, name), n in total.items() if of == what}

    return FormScore(shares("form"), shares("locale"), shares("kind"), false / max(1, other))


def _cells(one: Framed, kind: str) -> list[tuple[str, str]]:
    """What a value of this kind counts for."""
    if kind in NEUTRAL:
        return []
    cells = [("kind", kind)] if one.locale in LOCALES else []
    if kind == "PERSON":
        cells += [("locale", one.locale)] + ([("form", one.form)] if one.locale in LOCALES else [])
    return cells

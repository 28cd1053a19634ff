"""What counts as found: masks of redacted characters against labelled ranges."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pipeline.redact.pseudonym import TOKEN

NEUTRAL = {"AGE", "TITLE", "ORGANIZATION"}
"""Types that count neither for nor against: no person is identified by them alone."""
KEPT = {"DATE_TIME", "DOMAIN_NAME"}
"""Types that auditfuse leaves in place on purpose (docs/redaction.md)."""
PLACES = "places and addresses"
_FAMILY = dict.fromkeys(("GPE", "LOCATION", "STREET_ADDRESS", "ZIP_CODE"), PLACES) | {"DOMAIN_NAME": "URL"}
"""Types of which one is as good as another, where types are compared at all."""


class Sentence(NamedTuple):
    """A text and the labelled types of its characters."""

    text: str
    spans: list[tuple[int, int, str]]

    def types(self) -> list[str | None]:
        """The type of each character."""
        types: list[str | None] = [None] * len(self.text)
        for start, end, kind in self.spans:
            types[start:end] = [kind] * (end - start)
        return types


Mask = list[bool]
"""For each character of a text whether it was redacted."""


class Removed(NamedTuple):
    """Characters [start, end) of a text that a token of this type stands for."""

    start: int
    end: int
    entity: str


class Score(NamedTuple):
    """Shares of characters; `recall` by type, `overlap` the share of values redacted by at least half."""

    precision: float
    recall_all: float
    f2: float
    f2_without_kept: float
    recall: dict[str, float]
    overlap: dict[str, float]


class TypeScore(NamedTuple):
    """Values of one type, found as this type by at least half of their characters."""

    values: int
    precision: float
    recall: float

    @property
    def f2(self) -> float:
        """Recall weighs twice."""
        return f2(self.precision, self.recall)


def removed(text: str, redacted: str) -> list[Removed]:
    """What is gone: the ranges of the text that the redacted text has tokens in place of."""
    kept = [re.escape(part) for part in TOKEN.split(redacted)]
    match = re.fullmatch("(.+?)".join(kept), text, re.DOTALL)
    if match is None:
        raise ValueError("a redacted text does not line up with its original")
    entities = [token[0][1:].partition(":")[0] for token in TOKEN.finditer(redacted)]
    return [Removed(*match.span(i + 1), entity) for i, entity in enumerate(entities)]


def mask(length: int, spans: Iterable[tuple[int, int, str]]) -> Mask:
    """The mask of these ranges."""
    redacted = [False] * length
    for start, end, _ in spans:
        redacted[start:end] = [True] * (end - start)
    return redacted


def score(sentences: Sequence[Sentence], masks: Sequence[Mask]) -> Score:
    """Score masks against labels. White space and signs between values count nowhere."""
    total: Counter[str] = Counter()
    hit: Counter[str] = Counter()
    false = 0
    for sentence, redacted in zip(sentences, masks, strict=True):
        for char, kind, gone in zip(sentence.text, sentence.types(), redacted, strict=True):
            if not char.isalnum() or kind in NEUTRAL:
                continue
            if kind is None:
                false += gone
            else:
                total[kind] += 1
                hit[kind] += gone
    correct = hit.total()
    precision = correct / max(1, correct + false)
    recall = correct / max(1, total.total())
    asked = sum(total[kind] for kind in total if kind not in KEPT)
    asked_hit = sum(hit[kind] for kind in hit if kind not in KEPT)
    return Score(
        precision=precision,
        recall_all=recall,
        f2=f2(precision, recall),
        # What is found of the kept types is right, it is only not asked for.
        f2_without_kept=f2(precision, asked_hit / max(1, asked)),
        recall={kind: hit[kind] / total[kind] for kind in sorted(total)},
        overlap=_overlap(sentences, masks),
    )


def score_types(sentences: Sequence[Sentence], found: Sequence[Sequence[Removed]]) -> dict[str, TypeScore]:
    """By type, the type included: a value counts where half of it is found as its type, and a finding where
    half of it lies in values of its type. Findings in neutral values count nowhere."""
    values, hit, findings, right = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for sentence, ranges in zip(sentences, found, strict=True):
        labelled = [(start, end, _family(kind)) for start, end, kind in sentence.spans if kind not in NEUTRAL]
        ours = [(start, end, _family(kind)) for start, end, kind in ranges]
        length = len(sentence.text)
        neutral = mask(length, [span for span in sentence.spans if span[2] in NEUTRAL])
        for kind in {k for _, _, k in labelled + ours}:
            truth = mask(length, [span for span in labelled if span[2] == kind])
            gone = mask(length, [span for span in ours if span[2] == kind])
            judged = [span for span in ours if span[2] == kind and not half_gone(neutral, *span[:2])]
            asked = [span for span in labelled if span[2] == kind]
            values[kind] += len(asked)
            hit[kind] += sum(half_gone(gone, *span[:2]) for span in asked)
            findings[kind] += len(judged)
            right[kind] += sum(half_gone(truth, *span[:2]) for span in judged)
    return {
        kind: TypeScore(values[kind], right[kind] / max(1, findings[kind]), hit[kind] / max(1, values[kind]))
        for kind in sorted(values | findings)
    }


def _family(kind: str) -> str:
    return _FAMILY.get(kind, kind)


def f2(precision: float, recall: float) -> float:
    """The F measure that weighs recall twice as much as precision."""
    return 5 * precision * recall / (4 * precision + recall) if precision + recall else 0.0


def half_gone(redacted: Mask, start: int, end: int) -> bool:
    """Whether at least half of a value's characters were redacted."""
    return sum(redacted[start:end]) * 2 >= end - start


def _overlap(sentences: Sequence[Sentence], masks: Sequence[Mask]) -> dict[str, float]:
    total: Counter[str] = Counter()
    hit: Counter[str] = Counter()
    for sentence, redacted in zip(sentences, masks, strict=True):
        for start, end, kind in sentence.spans:
            if kind not in NEUTRAL:
                total[kind] += 1
                hit[kind] += half_gone(redacted, start, end)
    return {kind: hit[kind] / total[kind] for kind in sorted(total)}

"""How much personal data redaction finds in labelled sentences, beside stock Presidio."""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks import stock
from benchmarks.bench_redact import fresh
from benchmarks.report import Report, parse_arguments, shared
from pipeline.redact.config import RedactionConfig
from pipeline.redact.pseudonym import TOKEN

DATASET = "pii/synth_dataset_v2.json"
NEUTRAL = {"AGE", "TITLE", "ORGANIZATION"}
"""Types that count neither for nor against: no person is identified by them alone."""
KEPT = {"DATE_TIME", "DOMAIN_NAME"}
"""Types that auditfuse leaves in place on purpose (docs/redaction.md)."""


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
"""For each character of a sentence whether it was redacted."""


class Score(NamedTuple):
    """Shares of characters; `recall` by type, `overlap` the share of values redacted by at least half."""

    precision: float
    recall_all: float
    f2: float
    f2_without_kept: float
    recall: dict[str, float]
    overlap: dict[str, float]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write build/eval-pii.json."""
    arguments = parse_arguments(__doc__, argv, rounds=1)
    report = Report("eval-pii", arguments)
    sentences = read_sentences(20 if arguments.quick else None)
    redactor = fresh()
    entities = set(RedactionConfig().entities)
    found = [stock.analyze(sentence.text) for sentence in sentences]
    scores = {
        "auditfuse": score(
            sentences, [_removed(s.text, redactor.redact_text(s.text).text) for s in sentences]
        ),
        "stock, all its types": score(
            sentences,
            [
                mask(len(s.text), [(r.start, r.end) for r in rs])
                for s, rs in zip(sentences, found, strict=True)
            ],
        ),
        "stock, the types we ask for": score(
            sentences,
            [
                mask(len(s.text), [(r.start, r.end) for r in rs if r.entity_type in entities])
                for s, rs in zip(sentences, found, strict=True)
            ],
        ),
    }
    _tables(report, sentences, scores)
    ours, theirs, asked = scores.values()
    report.figures |= {
        "sentences": len(sentences),
        "f2": ours.f2,
        "f2_stock": theirs.f2,
        "f2_stock_same_types": asked.f2,
        "f2_without_kept_types": ours.f2_without_kept,
        "f2_stock_without_kept_types": theirs.f2_without_kept,
        "precision": ours.precision,
        "precision_stock": theirs.precision,
        "recall_all": ours.recall_all,
        "recall": ours.recall,
        "recall_stock": theirs.recall,
        "overlap_recall": ours.overlap,
        "overlap_recall_stock": theirs.overlap,
    }
    report.finish()


def read_sentences(count: int | None) -> list[Sentence]:
    """The labelled sentences, all or some spread over the file."""
    rows = json.loads(shared(DATASET).read_text())
    if count is not None:
        rows = rows[:: len(rows) // count]
    return [
        Sentence(
            row["full_text"],
            [(s["start_position"], s["end_position"], s["entity_type"]) for s in row["spans"]],
        )
        for row in rows
    ]


def _removed(text: str, redacted: str) -> Mask:
    """What is gone: the characters of the text that the redacted text has tokens in place of."""
    kept = [re.escape(part) for part in TOKEN.split(redacted)]
    match = re.fullmatch("(.+?)".join(kept), text, re.DOTALL)
    if match is None:
        raise ValueError("a redacted text does not line up with its original")
    return mask(len(text), [match.span(i + 1) for i in range(len(kept) - 1)])


def mask(length: int, spans: Sequence[tuple[int, int]]) -> Mask:
    """The mask of these ranges."""
    redacted = [False] * length
    for start, end in spans:
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


def f2(precision: float, recall: float) -> float:
    """The F measure that weighs recall twice as much as precision."""
    return 5 * precision * recall / (4 * precision + recall) if precision + recall else 0.0


def _overlap(sentences: Sequence[Sentence], masks: Sequence[Mask]) -> dict[str, float]:
    total: Counter[str] = Counter()
    hit: Counter[str] = Counter()
    for sentence, redacted in zip(sentences, masks, strict=True):
        for start, end, kind in sentence.spans:
            if kind not in NEUTRAL:
                total[kind] += 1
                hit[kind] += sum(redacted[start:end]) * 2 >= end - start
    return {kind: hit[kind] / total[kind] for kind in sorted(total)}


def _tables(report: Report, sentences: Sequence[Sentence], scores: dict[str, Score]) -> None:
    of: dict[str, Callable[[Score], float]] = {
        "F2": lambda s: s.f2,
        "precision": lambda s: s.precision,
        "recall": lambda s: s.recall_all,
        f"F2 without {' and '.join(sorted(KEPT))}": lambda s: s.f2_without_kept,
    }
    rows = [[what, *(f"{get(s):.3f}" for s in scores.values())] for what, get in of.items()]
    report.table(["all types", *scores], rows)
    values = Counter(kind for s in sentences for _, _, kind in s.spans)
    kinds = sorted(next(iter(scores.values())).recall, key=lambda kind: -values[kind])
    columns = [[f"{s.recall[kind]:.2f} ({s.overlap[kind]:.2f})" for s in scores.values()] for kind in kinds]
    rows = [[kind, str(values[kind]), *cells] for kind, cells in zip(kinds, columns, strict=True)]
    report.table(["recall of", "values", *scores], rows)
    report.note(
        f"{len(sentences):,} sentences of presidio-research's synth_dataset_v2. Stock: AnalyzerEngine with "
        f"spaCy's small model, score at least {stock.THRESHOLD}. A letter or digit counts as redacted "
        "whatever the type; in brackets the share of values redacted by at least half. "
        f"{', '.join(sorted(NEUTRAL))} count neither for nor against."
    )


if __name__ == "__main__":
    sys.exit(main())

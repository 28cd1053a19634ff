"""How much personal data redaction finds, in labelled sentences, name forms and real text, beside stock."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from benchmarks import stock
from benchmarks.labelled import SETS, judge, read_labels, stock_ranges
from benchmarks.name_forms import LOCALES, framed, score_forms
from benchmarks.real_text import report_real_text
from benchmarks.redactors import CHOICES, fresh
from benchmarks.report import Report, goal, parse_arguments, shared
from benchmarks.scoring import (
    KEPT,
    NEUTRAL,
    Removed,
    Score,
    Sentence,
    TypeScore,
    mask,
    removed,
    score,
    score_types,
)
from pipeline.redact.redactor import Redactor

DATASET = "pii/synth_dataset_v2.json"
QUICK = 20
"""Sentences, and labelled strings a set, of a quick run."""
SHAPED = ("EMAIL_ADDRESS", "IBAN_CODE", "US_SSN", "IP_ADDRESS", "CREDIT_CARD", "PHONE_NUMBER")
STOCK_A_CELL = 6
"""Texts of one form in one locale that stock is given."""
Cells = list[list[str]]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write build/eval-pii.json."""
    arguments = parse_arguments(__doc__, argv, rounds=1, names=CHOICES)
    report = Report("eval-pii", arguments)
    count = QUICK if arguments.quick else None
    redactor = fresh(arguments.names)
    sentences = read_sentences(count)
    report.note("### Labelled sentences")
    ours = [_ours(redactor, s.text) for s in sentences]
    goals = _sentences(report, sentences, ours)
    report.note("### Forms and locales")
    goals += _forms(report, redactor, arguments.quick)
    judged = {name: judge(name, read_labels(name, count), redactor) for name in SETS}
    report.note("### Real text")
    goals += report_real_text(report, judged, {name: len(read_labels(name, count)) for name in SETS})
    report.note("### Targets")
    report.table(["target", "figure", "asked", ""], goals)
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


def _sentences(report: Report, sentences: Sequence[Sentence], ours: list[list[Removed]]) -> Cells:
    """The tables and figures of the labelled sentences; the rows of the targets."""
    everything = [[Removed(r.start, r.end, r.entity_type) for r in stock.analyze(s.text)] for s in sentences]
    asked = [[r for r in ranges if r.entity in stock.our_entities()] for ranges in everything]
    found = {"auditfuse": ours, "stock, all its types": everything, "stock, the types we ask for": asked}
    scores = {
        name: score(sentences, [mask(len(s.text), r) for s, r in zip(sentences, ranges, strict=True)])
        for name, ranges in found.items()
    }
    _tables(report, sentences, scores)
    _type_table(report, {name: score_types(sentences, found[name]) for name in list(found)[:2]})
    first, theirs, same = scores.values()
    report.figures |= {
        "sentences": len(sentences),
        "f2": first.f2,
        "f2_stock": theirs.f2,
        "f2_stock_same_types": same.f2,
        "f2_without_kept_types": first.f2_without_kept,
        "f2_stock_without_kept_types": theirs.f2_without_kept,
        "precision": first.precision,
        "precision_stock": theirs.precision,
        "recall_all": first.recall_all,
        "recall": first.recall,
        "recall_stock": theirs.recall,
        "overlap_recall": first.overlap,
        "overlap_recall_stock": theirs.overlap,
    }
    least = {"PERSON": 0.9, "STREET_ADDRESS": 0.9} | dict.fromkeys(SHAPED, 0.97)
    return [
        goal("F2 over all types", first.f2, 0.88),
        goal("precision", first.precision, 0.8),
        *(goal(f"recall of {kind}", first.recall.get(kind), share) for kind, share in least.items()),
    ]


def _forms(report: Report, redactor: Redactor, quick: bool) -> Cells:
    """The tables and figures of names in forms and locales; the rows of the targets."""
    texts = framed(1, LOCALES[:2]) if quick else framed()
    ours = score_forms(texts, [_ours(redactor, one.sentence.text) for one in texts])
    sample = framed(1, LOCALES[:2]) if quick else framed(STOCK_A_CELL)
    theirs = score_forms(sample, [stock_ranges(one.sentence.text) for one in sample])
    _form_table(report, "form", ours.forms, theirs.forms)
    _form_table(report, "locale", ours.locales, theirs.locales)
    report.table(
        ["in these forms", "auditfuse", "stock"],
        [
            *(
                [f"recall of {kind}", f"{x:.2f}", f"{theirs.kinds[kind]:.2f}"]
                for kind, x in ours.kinds.items()
            ),
            ["false characters", f"{ours.false:.3f}", f"{theirs.false:.3f}"],
        ],
    )
    report.note(
        f"{len(texts):,} texts with values that no training pool holds ({len(sample):,} of them for stock): "
        "`training/corpus/forms.py`. A value counts where half of it was redacted; false are letters and "
        "digits of no value that went as a name or an address. The last locales have names in their own "
        "script; no figure is asked of them."
    )
    report.figures |= {
        "forms_recall": ours.forms,
        "forms_recall_stock": theirs.forms,
        "locales_recall": ours.locales,
        "locales_recall_stock": theirs.locales,
        "forms_kinds_recall": ours.kinds,
        "forms_false_share": ours.false,
    }
    locales = {name: found for name, found in ours.locales.items() if name in LOCALES}
    worst = {"form": ours.forms, "locale": locales}
    return [
        goal(f"names by {what}, the worst ({least})", found[least], 0.85)
        for what, found in worst.items()
        if (least := min(found, key=found.__getitem__))
    ]


def _ours(redactor: Redactor, text: str) -> list[Removed]:
    return removed(text, redactor.redact_text(text).text)


def _form_table(report: Report, what: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> None:
    rows = [[name, f"{found:.2f}", f"{theirs[name]:.2f}"] for name, found in ours.items()]
    report.table([f"names by {what}", "auditfuse", "stock"], rows)


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


def _type_table(report: Report, scores: Mapping[str, Mapping[str, TypeScore]]) -> None:
    first = next(iter(scores.values()))
    kinds = sorted((k for k in first if first[k].values), key=lambda kind: -first[kind].values)
    header = [f"{name}: {what}" for name in scores for what in ("precision", "recall", "F2")]
    rows = [
        [
            kind,
            str(first[kind].values),
            *(cell for found in scores.values() for cell in _cells(found.get(kind))),
        ]
        for kind in kinds
    ]
    report.table(["as the same type", "values", *header], rows)


def _cells(found: TypeScore | None) -> list[str]:
    return ["", "", ""] if found is None else [f"{x:.2f}" for x in (found.precision, found.recall, found.f2)]


if __name__ == "__main__":
    sys.exit(main())

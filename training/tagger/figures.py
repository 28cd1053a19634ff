"""How good the exported tagger is: recall and precision of spans and characters, by type and kind of text."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline.redact.config import STOCK_ENTITIES, RedactionConfig
from pipeline.redact.spans import Span
from pipeline.redact.tagger.tagger import ENTITY_OF, Tagger
from training.corpus.forms import FORMS, LOCALES, NATIVE_LOCALES, texts
from training.tagger.samples import Sample

LEAST_OVERLAP = 0.5
HELD_OUT_TEXTS = 24
"""Of each form in each locale."""
Figures = dict[str, dict[str, float]]


class Count(NamedTuple):
    """Spans of one type in one kind of text."""

    wanted: int = 0
    covered: int = 0
    found: int = 0
    right: int = 0

    def __add__(self, other: object) -> "Count":
        """The sum, field by field."""
        if not isinstance(other, Count):
            return NotImplemented
        return Count(*(a + b for a, b in zip(self, other, strict=True)))

    def figures(self) -> dict[str, float]:
        """Recall, precision and how many spans they rest on."""
        return {
            "recall": round(self.covered / max(self.wanted, 1), 4),
            "precision": round(self.right / max(self.found, 1), 4),
            "spans": self.wanted,
        }


def measure(folder: Path, samples: list[Sample]) -> dict[str, Figures]:
    """On the corpus' dev samples: by type, and for persons by source."""
    by_type: defaultdict[str, Count] = defaultdict(Count)
    by_source: defaultdict[str, Count] = defaultdict(Count)
    for sample, counts in _counted(folder, samples):
        for entity, count in counts.items():
            by_type[entity] += count
        by_source[sample.source] += counts.get("PERSON", Count())
    return {"by_type": _figures(by_type), "persons_by_source": _figures(by_source)}


def measure_held_out(folder: Path) -> dict[str, Figures]:
    """On values that no training pool holds: persons by form and by locale, and all types."""
    by_form: defaultdict[str, Count] = defaultdict(Count)
    by_locale: defaultdict[str, Count] = defaultdict(Count)
    by_type: defaultdict[str, Count] = defaultdict(Count)
    samples = [
        Sample(text, [(a, b, label) for a, b, label in spans], [], f"{form} {locale}")
        for locale in (*LOCALES, *NATIVE_LOCALES)
        for form in FORMS
        for text, spans in texts(form, locale, HELD_OUT_TEXTS)
    ]
    for sample, counts in _counted(folder, samples):
        form, locale = sample.source.split(" ")
        by_form[form] += counts.get("PERSON", Count())
        by_locale[locale] += counts.get("PERSON", Count())
        for entity, count in counts.items():
            by_type[entity] += count
    return {
        "by_type": _figures(by_type),
        "persons_by_form": _figures(by_form),
        "persons_by_locale": _figures(by_locale),
    }


def _counted(folder: Path, samples: list[Sample]) -> Iterator[tuple[Sample, dict[str, Count]]]:
    tagger = Tagger(RedactionConfig(entities=(*STOCK_ENTITIES, "ORGANIZATION")), folder)
    found = tagger.find([sample.text for sample in samples])
    return ((sample, _counts(sample, found[sample.text])) for sample in samples)


def _figures(counts: Mapping[str, Count]) -> Figures:
    return {name: counts[name].figures() for name in sorted(counts) if counts[name].wanted}


def _counts(sample: Sample, found: list[Span]) -> dict[str, Count]:
    wanted = [(start, end, ENTITY_OF[label]) for start, end, label in sample.spans]
    counts: dict[str, Count] = {}
    for entity in {*(span.entity for span in found), *(label for _, _, label in wanted)}:
        ours = [(s.start, s.end) for s in found if s.entity == entity]
        theirs = [(start, end) for start, end, label in wanted if label == entity]
        judged = [span for span in ours if not _covered(span, sample.ignore)]
        counts[entity] = Count(
            wanted=len(theirs),
            covered=sum(_covered(span, ours) for span in theirs),
            found=len(judged),
            right=sum(_covered(span, theirs) for span in judged),
        )
    return counts


def _covered(span: tuple[int, int], others: Iterable[tuple[int, int]]) -> bool:
    """Whether at least half of the span lies in the others, which do not overlap."""
    start, end = span
    held = sum(max(0, min(end, b) - max(start, a)) for a, b in others)
    return held >= LEAST_OVERLAP * (end - start)

"""Labels for the text of installed packages: spaCy's where two readings agree, rules for code and authors.

The small model reads each paragraph twice: as it is, and cut into its sentences with another sentence before
each. What both readings call a person is one only if our name pools know a part of it: on technical prose the
model takes libraries for people in both readings. Whatever stays in doubt is ignored, not guessed.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random

from training.corpus.documents import Document, documents
from training.corpus.lists import words
from training.corpus.pools import held_out_values, pool
from training.corpus.readings import Span, readings
from training.corpus.samples import Sample, held_out_in
from training.corpus.scene import Scene
from training.corpus.split import folded
from training.corpus.swaps import swapped
from training.corpus.template import joined

PROSE_BYTES = 1_300_000
CODE_BYTES = 1_700_000
_PROSE_PER_PACKAGE, _CODE_PER_PACKAGE = 30_000, 24_000
_LIBRARY_FACTOR = 4
_SWAPPED = 0.6
"""Of the paragraphs without names, those that are read a second time with names put in."""
_WORD = re.compile(r"[^\W\d_][\w’'-]*")
_NAME_PART = r"(?:[A-ZÀ-ÞĀ-Ž][\w.’'-]*|de|da|van|von|der|la)"
_NAME_LINE = re.compile(rf"^[\s*\-•]*({_NAME_PART}(?: {_NAME_PART}){{1,3}})\s*(?:$|[<(,:;@-])", re.MULTILINE)
_LOWER = re.compile(r"(?<![\w.])[a-z]{2,}(?!\w)")
_MAIL = re.compile(r"[\w.+-]+@[\w.-]+")


def silver(seed: int, cache_folder: Path) -> Iterator[Sample]:
    """Samples of real text, in an order that depends on the seed alone; readings are cached by text."""
    prose, code, people = _chosen(Random(f"silver:{seed}"))  # noqa: S311
    made = [*_prose_samples(prose, cache_folder), *map(_code_sample, code), *_people_samples(people, seed)]
    Random(f"silver order:{seed}").shuffle(made)  # noqa: S311
    return (
        sample for sample in made if not held_out_in(sample.text[start:end] for start, end, _ in sample.spans)
    )


def _chosen(rng: Random) -> tuple[list[str], list[str], list[str]]:
    """(paragraphs of prose, chunks of code and data, lists of authors), each up to its budget of bytes."""
    prose: list[str] = []
    code: list[str] = []
    people: list[str] = []
    by_package: dict[tuple[str, bool], list[str]] = {}
    for document in documents():
        if document.kind == "people":
            people.append(document.text)
        else:
            texts = [document.text] if document.kind == "prose" else _chunks(rng, document)
            by_package.setdefault((document.package, document.kind == "prose"), []).extend(texts)
    for (package, is_prose), texts in by_package.items():
        unique = list(dict.fromkeys(texts))
        rng.shuffle(unique)
        each = _PROSE_PER_PACKAGE if is_prose else _CODE_PER_PACKAGE
        (prose if is_prose else code).extend(
            _within(unique, each * (_LIBRARY_FACTOR if package == "python" else 1))
        )
    rng.shuffle(prose)
    rng.shuffle(code)
    return _within(prose, PROSE_BYTES), _within(code, CODE_BYTES), people


def _within(texts: Iterable[str], budget: int) -> list[str]:
    kept: list[str] = []
    for text in texts:
        budget -= len(text)
        if budget < 0:
            break
        kept.append(text)
    return kept


def _chunks(rng: Random, document: Document) -> list[str]:
    lines = document.text.splitlines()
    made: list[str] = []
    at = 0
    while at < len(lines) and len(made) < 12:
        size = rng.choice((1, 1, 2, 4, 8, 16, 24))
        chunk = "\n".join(lines[at : at + size]).strip("\n")
        at += size
        if len(chunk.strip()) >= 8 and len(chunk) <= 1200:
            made.append(chunk)
    return made


def _prose_samples(texts: list[str], cache_folder: Path) -> Iterator[Sample]:
    common = _common_words(texts)
    for text, (first, second) in zip(texts, readings(texts, cache_folder), strict=True):
        spans, ignore = agreed(text, first, second, common)
        yield Sample(text, spans, ignore, "silver")
        rng = Random(f"swapped:{text}")  # noqa: S311
        if not spans and not ignore and rng.random() < _SWAPPED:
            yield _swapped_sample(rng, text)


def _swapped_sample(rng: Random, text: str) -> Sample:
    """The text again with people or groups in it; a held-out value among them is met by `silver`."""
    changed, spans, ignore = joined(swapped(rng, text, Scene(rng)))
    return Sample(changed, spans, ignore, "silver-swapped")


def agreed(
    text: str, first: list[Span], second: list[Span], common: frozenset[str]
) -> tuple[list[Span], list[tuple[int, int]]]:
    """(labels that both readings and the pools support, ranges in doubt); `common` are ordinary words."""
    spans: list[Span] = []
    ignore = [(start, end) for start, end, _ in _possible_names(text)]
    for start, end, label in sorted({*first, *second}):
        both = (start, end, label) in first and (start, end, label) in second
        verdict = _verdict(text[start:end], label, both, common)
        if verdict == "IGNORE":
            ignore.append((start, end))
        elif verdict:
            spans.append((start, end, verdict))
    kept = _without_overlaps(spans)
    covered = [(start, end) for start, end, _ in kept]
    return kept, [
        (a, b) for a, b in sorted(set(ignore)) if not any(a < end and start < b for start, end in covered)
    ]


def _verdict(value: str, label: str, both: bool, common: frozenset[str]) -> str:
    """The label to learn, "IGNORE" for doubt, "" for none."""
    if label == "PERSON":
        return _person_verdict(value, both, common)
    if label in ("GPE", "LOC"):
        if both and folded(value) in _large_places():
            return "PLACE"
        return "IGNORE" if folded(value) in _places() and value not in words("software") else ""
    if label == "NORP":
        known = folded(value) in _nationalities()
        return "NRP" if both and known else "IGNORE" if known else ""
    if label == "ORG" and both:
        return "ORG" if value in words("vendor") else "IGNORE" if " " in value and value.istitle() else ""
    return ""


def _person_verdict(value: str, both: bool, common: frozenset[str]) -> str:
    """A person where both readings and the pools agree and no part is an ordinary word of these texts."""
    parts = value.replace(".", " ").split()
    if not all(part.replace("-", "").replace("'", "").isalpha() and part[0].isupper() for part in parts):
        return ""
    ordinary = any(part.casefold() in common for part in parts)
    if len(parts) == 1:
        return "IGNORE" if folded(value) in _first_names() and not ordinary else ""
    if not _is_known_person(value):
        return "IGNORE" if both and not ordinary else ""
    return "PERSON" if both and not ordinary else "IGNORE"


def _is_known_person(value: str) -> bool:
    parts = value.replace(".", " ").split()
    return len(parts) > 1 and (folded(parts[0]) in _first_names() or folded(parts[-1]) in _last_names())


def _common_words(texts: list[str]) -> frozenset[str]:
    """Words that these texts write in lower case more than once."""
    counts = Counter(word for text in texts for word in _LOWER.findall(text))
    return frozenset(word for word, count in counts.items() if count > 1)


def _possible_names(text: str) -> Iterator[Span]:
    """Two capitalised words known as first and last name, and known places: what may be a name."""
    found = list(_WORD.finditer(text))
    for word, following in pairwise(found):
        one, two = word.group(), following.group()
        if text[word.end() : following.start()] in (" ", " ") and one[0].isupper() and two[0].isupper():
            if (
                folded(one) in _first_names()
                and not two.isupper()
                and two.isalpha()
                and folded(two) in _last_names()
            ):
                yield word.start(), following.end(), "PERSON"
            elif folded(f"{one} {two}") in _large_places():
                yield word.start(), following.end(), "PLACE"
    for word in found:
        value = word.group()
        if value[0].isupper() and (folded(value) in _large_places() or folded(value) in _nationalities()):
            yield word.start(), word.end(), "PLACE"


def _code_sample(text: str) -> Sample:
    """Code and data files: nothing personal, but for what may be a name."""
    marks = [*_possible_names(text), *((match.start(), match.end(), "") for match in _MAIL.finditer(text))]
    return Sample(text, [], sorted({(start, end) for start, end, _ in marks}), "silver-code")


def _people_samples(texts: list[str], seed: int) -> Iterator[Sample]:
    """Lists of authors, some lines at a time; lines that are no name that the pools know are ignored."""
    for number, text in enumerate(texts):
        rng = Random(f"people:{seed}:{number}")  # noqa: S311
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        at = 0
        while at < len(lines):
            size = rng.choice((1, 2, 4, 8))
            chunk = rng.choice(("\n", "\n", ", ", "; ")).join(lines[at : at + size])[:1200]
            at += size
            spans = _name_lines(chunk)
            free = [(match.start(), match.end()) for match in _MAIL.finditer(chunk)]
            rest = _capitalised_outside(chunk, spans)
            if spans:
                yield Sample(chunk, spans, sorted({*free, *rest}), "silver-people")


def _name_lines(chunk: str) -> list[Span]:
    found: list[Span] = []
    for match in re.finditer(_NAME_LINE, chunk.replace(", ", "\n\n").replace("; ", "\n\n")):
        start, end = match.span(1)
        if _is_known_person(chunk[start:end]):
            found.append((start, end, "PERSON"))
    return found


def _capitalised_outside(chunk: str, spans: list[Span]) -> list[tuple[int, int]]:
    ranges = ((match.start(), match.end()) for match in _WORD.finditer(chunk) if match.group()[0].isupper())
    return [(a, b) for a, b in ranges if not any(a < end and start < b for start, end, _ in spans)]


def _without_overlaps(spans: list[Span]) -> list[Span]:
    kept: list[Span] = []
    for span in sorted(spans, key=lambda one: (one[0] - one[1], one)):
        if not any(span[0] < end and start < span[1] for start, end, _ in kept):
            kept.append(span)
    return sorted(kept)


@cache
def _first_names() -> frozenset[str]:
    return frozenset(folded(value) for value in (*pool("first_name"), *words("nickname"))) | held_out_values()


@cache
def _last_names() -> frozenset[str]:
    return frozenset(folded(value) for value in pool("last_name")) | held_out_values()


@cache
def _places() -> frozenset[str]:
    return frozenset(folded(value) for kind in ("city", "country", "state", "region") for value in pool(kind))


@cache
def _large_places() -> frozenset[str]:
    from training.corpus.geography import countries, large_cities, states

    ambiguous = frozenset(folded(value) for value in words("name_word"))
    return frozenset(folded(value) for value in (*large_cities(), *countries(), *states("en_US"))) - ambiguous


@cache
def _nationalities() -> frozenset[str]:
    return frozenset(folded(value) for value in pool("nationality"))

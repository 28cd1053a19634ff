"""Persons found in one leaf of a message are looked for in its other leaves. Never remembered.

Full names are found in any case and with any separator (`mia_li`), unless all their parts occur in
lower case as ordinary words of the same message; single parts only where they are capitalised, have at
least four letters, and are no such words.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pipeline.redact.leaf import Redacted
from pipeline.redact.pseudonym import TOKEN, Pseudonyms

MAX_NAMES = 200
_PART = re.compile(r"[^\W\d_][^\W\d_'’-]*(?:['’-][^\W\d_]+)*")


class People(NamedTuple):
    """What to look for in one message, and a cheap test for it."""

    anywhere: re.Pattern[str] | None
    in_text: re.Pattern[str] | None
    marks: tuple[str, ...]
    """Case-folded strings of which one is in every text that holds a match."""


def people_of(names: Iterable[str], texts: Sequence[str]) -> People | None:
    """The persons to look for; None where there are none. `texts`: the leaves, redacted."""
    distinct = sorted(set(names), key=lambda n: (-len(n), n))[:MAX_NAMES]
    split = [parts for name in distinct if (parts := _PART.findall(name))]
    ordinary = _ordinary({p.casefold() for parts in split for p in parts if len(p) >= 4}, texts)
    full = [parts for parts in split if len(parts) > 1 and sum(map(len, parts)) >= 5]
    full = [parts for parts in full if not all(p.casefold() in ordinary for p in parts)]
    single = {p for parts in split for p in parts if len(p) >= 4 and p[0].isupper()}
    single = {p for p in single if p.casefold() not in ordinary}
    if not full and not single:
        return None
    marks = {parts[0].casefold() for parts in full} | {p.casefold() for p in single}
    return People(_any_full(full), _any_single(single), tuple(sorted(marks)))


def _ordinary(words: set[str], texts: Sequence[str]) -> set[str]:
    """Those words that stand in one of the texts in lower case, as words of their own."""
    whole = "\n".join(texts)
    present = (word for word in words if word in whole)
    return {word for word in present if re.search(rf"(?<!\S){re.escape(word)}(?![\w-])", whole)}


def redact_people(redacted: Redacted, people: People, is_text: bool, pseudonyms: Pseudonyms) -> Redacted:
    """A leaf with the message's persons replaced; tokens in it stay."""
    folded = redacted.text.casefold()
    if not any(mark in folded for mark in people.marks):
        return redacted
    patterns = [p for p in (people.anywhere, people.in_text if is_text else None) if p is not None]
    text, found = redacted.text, 0
    for pattern in patterns:
        pieces: list[str] = []
        last = 0
        for token in TOKEN.finditer(text):
            piece, n = pattern.subn(lambda m: pseudonyms.token("PERSON", m[0]), text[last : token.start()])
            pieces += [piece, token[0]]
            found, last = found + n, token.end()
        piece, n = pattern.subn(lambda m: pseudonyms.token("PERSON", m[0]), text[last:])
        text, found = "".join([*pieces, piece]), found + n
    if not found:
        return redacted
    return redacted._replace(text=text, counts=Counter(redacted.counts) + Counter({"PERSON": found}))


def _any_full(names: list[list[str]]) -> re.Pattern[str] | None:
    bodies = dict.fromkeys(r"[\s_.-]{1,3}".join(map(re.escape, parts)) for parts in names)
    return re.compile(rf"(?<![^\W\d_])(?:{'|'.join(bodies)})(?![^\W\d_])", re.IGNORECASE) if bodies else None


def _any_single(parts: set[str]) -> re.Pattern[str] | None:
    ordered = sorted(parts, key=lambda p: (-len(p), p))
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, ordered))})(?!\w)") if ordered else None

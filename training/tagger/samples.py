"""The corpus as arrays: tokens numbered by type, one label each."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.redact.tagger.tokens import BOUNDARIES, BOUNDARY, tokenize
from pipeline.redact.tagger.weights import TAGS

IGNORED = -1
LOWER_SHARE, UPPER_SHARE, TITLE_SHARE = 0.25, 0.08, 0.02
"""Of the samples, those that are read a second time in another case."""


class Sample(NamedTuple):
    """One text of the corpus."""

    text: str
    spans: list[tuple[int, int, str]]
    """Characters [start, end) and one of TAGS."""
    ignore: list[tuple[int, int]]
    """Characters whose label is unknown."""
    source: str


class TokenSet(NamedTuple):
    """Many samples, one after the other."""

    types: list[str]
    """The token types; the first is the boundary."""
    ids: NDArray[np.int32]
    """(n,) every token's type."""
    labels: NDArray[np.int8]
    """(n,) every token's tag; IGNORED where it does not count."""
    starts: NDArray[np.int64]
    """(samples + 1,) where each sample begins; it ends with its boundaries."""


def read_samples(path: Path) -> Iterator[Sample]:
    """The corpus file's samples."""
    with path.open() as file:
        for line in file:
            row = json.loads(line)
            spans = [(start, end, label) for start, end, label in row["spans"]]
            yield Sample(row["text"], spans, [(a, b) for a, b in row["ignore"]], row["source"])


def with_other_cases(samples: Iterator[Sample], seed: int) -> Iterator[Sample]:
    """Every sample, and some of them again as lower, upper or title case."""
    chance = random.Random(seed)  # noqa: S311
    for sample in samples:
        yield sample
        drawn = chance.random()
        if drawn < LOWER_SHARE:
            changed = sample.text.replace("İ", "i").lower()
        elif drawn < LOWER_SHARE + UPPER_SHARE:
            changed = sample.text.upper()
        elif drawn < LOWER_SHARE + UPPER_SHARE + TITLE_SHARE and sample.spans:
            changed = sample.text.title()
        else:
            continue
        if len(changed) == len(sample.text) and changed != sample.text:
            yield sample._replace(text=changed)


def token_set(samples: Iterator[Sample]) -> TokenSet:
    """The samples in order, with boundaries after each."""
    types: dict[str, int] = {BOUNDARY: 0}
    ids: list[int] = []
    labels: list[int] = []
    starts = [0]
    for sample in samples:
        tokens = tokenize(sample.text.replace(BOUNDARY, "\x01"))
        ids += [types.setdefault(_counted(token), len(types)) for token in tokens]
        labels += labels_of(tokens, sample)
        ids += [0] * BOUNDARIES
        labels += [IGNORED] * BOUNDARIES
        starts.append(len(ids))
    return TokenSet(list(types), np.array(ids, np.int32), np.array(labels, np.int8), np.array(starts))


def _counted(token: str) -> str:
    """Numbers of equal length are one type, as at run time."""
    bare = token.lstrip(" ")
    return token[: len(token) - len(bare)] + "0" * len(bare) if token[-1].isdecimal() else token


def labels_of(tokens: list[str], sample: Sample) -> list[int]:
    """A token has the tag of the span that its first character (no space) lies in."""
    ranges = sorted(
        [(start, end, TAGS.index(label)) for start, end, label in sample.spans]
        + [(start, end, IGNORED) for start, end in sample.ignore]
    )
    labels: list[int] = []
    place = at = 0
    for token in tokens:
        first = place + (len(token) > 1 and token[0] == " ")
        while at < len(ranges) and ranges[at][1] <= first:
            at += 1
        inside = at < len(ranges) and ranges[at][0] <= first
        labels.append(ranges[at][2] if inside else 0)
        place += len(token)
    return labels

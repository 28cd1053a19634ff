"""The word lists that the run time knows: names from the corpus' pools, frequent words from its texts."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from pipeline.redact.tagger.features import fold
from pipeline.redact.tagger.gazetteer import LISTS, Gazetteer
from pipeline.redact.tagger.tokens import tokenize
from pipeline.redact.tagger.weights import TAGS
from training.tagger.samples import TokenSet

Pool = Callable[[str], Sequence[str]]
"""The values of a kind that training may see."""

VOCABULARY = 12_000
LEAST_COUNT = 4
COMMON, VERY_COMMON = 12, 150
"""Times that a word stands in the corpus in lower case, as part of nothing."""


def vocabulary_of(tokens: TokenSet) -> tuple[str, ...]:
    """The most frequent words that are no part of a name; their rows are learnt one by one."""
    counts: Counter[str] = Counter()
    for label in (0, TAGS.index("ADDRESS")):
        for token, count in _counts(tokens, label):
            counts[fold(token.strip(" ") or " ")] += count
    frequent = [(word, n) for word, n in counts.items() if n >= LEAST_COUNT and "\n" not in word]
    frequent.sort(key=lambda pair: (-pair[1], pair[0]))
    return tuple(word for word, _ in frequent[:VOCABULARY])


def gazetteer_of(pool: Pool, tokens: TokenSet) -> Gazetteer:
    """The lists of the run time."""
    lowered = Counter[str]()
    for token, count in _counts(tokens, 0):
        word = token.strip(" ")
        if word.islower():
            lowered[fold(word)] += count
    cities = pool("city")
    lists: dict[str, Iterable[str]] = {
        "first_name": _parts([*pool("first_name"), *pool("middle_name"), *pool("nickname")]),
        "frequent_first_name": _parts(pool("frequent_first_name")),
        "last_name": _parts(pool("last_name")),
        "name_word": _parts(pool("name_word")),
        "city": (fold(name) for name in cities if len(_parts([name])) == 1),
        "city_part": (part for name in cities if len(_parts([name])) > 1 for part in _parts([name])),
        "country": _parts(pool("country")),
        "state": _parts(pool("state")),
        "nationality": _parts(pool("nationality")),
        "street_core": _parts(pool("street_core")),
        "organization_part": _parts(pool("organization")),
        "common_word": (word for word, n in lowered.items() if n >= COMMON),
        "very_common_word": (word for word, n in lowered.items() if n >= VERY_COMMON),
    }
    if tuple(lists) != LISTS:
        raise ValueError(f"lists are {tuple(lists)}, the run time knows {LISTS}")
    return Gazetteer.of({name: sorted(set(words)) for name, words in lists.items()})


def _parts(names: Iterable[str]) -> list[str]:
    """The folded words of names, of two letters at least."""
    tokens = (token.strip(" ") for name in names for token in tokenize(name))
    return [fold(token) for token in tokens if len(token) > 1 and token[0].isalpha()]


def _counts(tokens: TokenSet, label: int) -> Iterable[tuple[str, int]]:
    """(token, times) of a label."""
    counts = np.bincount(tokens.ids[tokens.labels == label], minlength=len(tokens.types))
    return ((tokens.types[i], int(counts[i])) for i in np.flatnonzero(counts))

"""From the strengths of tokens to spans: runs of equal tags, joined over signs and trimmed to words."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.redact.tagger.weights import MATRIX_UNIT, STATE_UNIT, TAGS

SURE = 4 * STATE_UNIT * MATRIX_UNIT
"""A lead over "nothing" of this much, or more, is as sure as the tagger can be."""
LEADS = {"PERSON": 2.0, "ADDRESS": 1.0, "PLACE": 1.0, "NRP": 1.0, "ORG": 1.0}
"""What "nothing" must lead each tag by: a name left in the clear is worse than a word too many. This and the
next were chosen on the corpus' dev samples, whose values training never reads."""
LONE_LEADS = {"title": 1.0, "lower": 0.25, "upper": -1.0}
"""The same for one word alone as a person or place, by its case: ordinary words and codes are written so."""
LONE_TAGS = ("PERSON", "PLACE")
LEAST_SCORE, MOST_SCORE = 0.6, 0.95
_JOINTS = {"PERSON": frozenset("'’-.·"), "ADDRESS": frozenset(",.'’-/#&\n"), "ORG": frozenset("&'’-.")}
"""Signs within a span of a tag, when the tokens on both sides have it."""

_UNIT = STATE_UNIT * MATRIX_UNIT
_LEADS = np.array([[LEADS.get(tag, 0.0) * _UNIT] for tag in TAGS]).astype(np.int32)


class Run(NamedTuple):
    """Tokens [start, end) of one tag."""

    start: int
    end: int
    tag: str
    score: float


def decode(tokens: Sequence[str], strengths: NDArray[np.int32]) -> Iterator[Run]:
    """The runs of all tags but O, in order."""
    # A tie between tags goes to the first of them; `nothing` is the first of all.
    # By tag, then token: along the few tags of each token NumPy is ten times as slow.
    raised = np.add(strengths.T, _LEADS, order="C")
    surplus = raised[1:].max(axis=0) - raised[0]
    named = np.flatnonzero(surplus > 0)
    tags = np.zeros(len(surplus), np.int64)
    tags[named] = raised[1:, named].argmax(axis=0) + 1
    edges = np.flatnonzero(np.diff(tags, prepend=0, append=0))
    pending: Run | None = None
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        number = int(tags[start])
        if number == 0:
            continue
        tag = TAGS[number]
        strongest = int(surplus[start:end].max())
        run = _trimmed(tokens, Run(start, end, tag, _score(strongest)))
        if run is None or strongest < _least(tokens, run):
            continue
        if pending and pending.tag == tag and _joined(tokens, pending.end, run.start, tag):
            pending = Run(pending.start, run.end, tag, max(pending.score, run.score))
            continue
        if pending:
            yield pending
        pending = run
    if pending:
        yield pending


def _score(surplus: int) -> float:
    return round(LEAST_SCORE + (MOST_SCORE - LEAST_SCORE) * min(surplus, SURE) / SURE, 2)


def _trimmed(tokens: Sequence[str], run: Run) -> Run | None:
    """The run from its first to its last word or number; None where that says nothing of anyone."""
    start, end = run.start, run.end
    while start < end and not _first(tokens[start]).isalnum():
        start += 1
    while start < end and not _first(tokens[end - 1]).isalnum():
        end -= 1
    words = _words(tokens, start, end)
    if sum(map(len, words)) < 2 and not (words and words[0] > "\u3000"):
        return None
    return run._replace(start=start, end=end)


def _least(tokens: Sequence[str], run: Run) -> int:
    """The surplus that a run must have."""
    if run.end - run.start > 1 and _is_word(tokens[run.start]) and _is_word(tokens[run.end - 1]):
        return 0
    words = _words(tokens, run.start, run.end)
    if len(words) != 1:
        return 0
    if run.tag == "ADDRESS":  # one word alone is no address: "Avenue"
        return 0 if any(token[-1].isdecimal() for token in tokens[run.start : run.end]) else 1 << 31
    if run.tag not in LONE_TAGS:
        return 0
    is_capitals = words[0].isupper() and len(words[0]) > 1
    case = "lower" if words[0].islower() else "upper" if is_capitals else "title"
    return max(0, int((LEADS[run.tag] - LONE_LEADS[case]) * _UNIT))


def _words(tokens: Sequence[str], start: int, end: int) -> list[str]:
    return [token.lstrip(" ") for token in tokens[start:end] if _is_word(token)]


def _is_word(token: str) -> bool:
    return _first(token).isalpha()


def _first(token: str) -> str:
    """The first character after the space: accents and vowel signs follow their letters."""
    return token[1] if token[0] == " " and len(token) > 1 else token[0]


def _joined(tokens: Sequence[str], start: int, end: int, tag: str) -> bool:
    """Whether only signs that the tag's spans hold are between two runs."""
    if start == end:
        return True
    between = "".join(tokens[start:end]).replace(" ", "")
    return len(between) <= 2 and set(between) <= _JOINTS.get(tag, frozenset())

"""The context boost: Presidio's rule, looked up in a small window around a finding.

Stock takes the finding's own token and the five before it that are no stop words and no signs, by spaCy
lemma, and looks for context words as substrings. Here tokens are spaCy's too, but no lemmas are made: a
context word that ends in `e` is also found by its -ing form, so that "saving" supports "save". Context words
of up to three letters must be whole words, plural and verb endings aside: as substrings they made every
"policy" a driver's "lic"ence.
"""

import re
from collections.abc import Iterable
from itertools import chain, islice
from typing import cast

from pipeline.redact.find.syntax import scan_form
from pipeline.redact.find.tokens import Token, tokens_of

BOOST = 0.35
LEAST_BOOSTED = 0.4
WORDS_BEFORE = 5
WINDOW_CHARS = 1000
WHOLE_WORD_CHARS = 3
_CHUNK = re.compile(r"\S+")
_NON_SPACE = re.compile(r"\S*")


class ContextWords:
    """The context words of one recognizer."""

    def __init__(self, words: Iterable[str]) -> None:
        wanted = dict.fromkeys(sorted(word.lower().strip() for word in words))
        self._short = frozenset(f for w in wanted if len(w) <= WHOLE_WORD_CHARS for f in _endings(w))
        self._long = tuple(f for w in wanted if len(w) > WHOLE_WORD_CHARS for f in (w, *_ing(w)))
        self.triggers = _triggers(wanted)
        """Scan forms of which at least one matches wherever a text may support a finding; None: unknown."""
        every = dict.fromkeys(_first_word(form) for form in (*sorted(self._short), *self._long))
        self._any = re.compile("|".join(map(re.escape, every)))

    def supports(self, text: str, start: int) -> bool:
        """Whether the finding that begins at `start` has one of the words near it."""
        before = text[max(0, start - WINDOW_CHARS) : start]
        after = text[start : start + WINDOW_CHARS]
        if not self._any.search((before + after).lower()):
            return False
        phrase = " ".join(_near(before, after))
        if any(form in phrase for form in self._long):
            return True
        return bool(self._short) and not self._short.isdisjoint(re.findall(r"\w+", phrase))


def boosted(score: float) -> float:
    """The score of a supported finding."""
    return min(1.0, max(score + BOOST, LEAST_BOOSTED))


def _near(before: str, after: str) -> list[str]:
    """The words that stock looks at, in the order of the text: the finding's own token and those before it.

    Where stock does not count the own token (it has a colon in it), it takes the next word after it instead.
    """
    chunks = [match.span() for match in _CHUNK.finditer(before)]
    edge = chunks.pop()[0] if chunks and chunks[-1][1] == len(before) else len(before)
    own_end = cast("re.Match[str]", _NON_SPACE.match(after)).end()
    tokens = tokens_of(before[edge:] + after[:own_end])
    own = next((i for i, t in enumerate(tokens) if t.end > len(before) - edge), len(tokens) - 1)
    earlier = chain(
        reversed(tokens[: own + 1]),
        (token for low, high in reversed(chunks) for token in reversed(tokens_of(before[low:high]))),
    )
    near: list[str] = []
    if not tokens[own].is_counted:
        rest = (tokens_of(chunk[0]) for chunk in _CHUNK.finditer(after, own_end))
        later = chain(tokens[own + 1 :], chain.from_iterable(rest))
        near += [token.lowered for token in islice(filter(_is_counted, later), 1)]
    remaining = WORDS_BEFORE + 1
    for token in earlier:
        if token is tokens[own] or token.is_word:
            near.append(token.lowered)
        remaining -= token.is_counted
        if remaining <= 0:
            break
    return near[::-1]


def _is_counted(token: Token) -> bool:
    return token.is_counted


def _endings(word: str) -> tuple[str, ...]:
    return (word, *(word + ending for ending in ("s", "es", "ed", "ing")))


def _ing(word: str) -> tuple[str, ...]:
    return (word[:-1] + "ing",) if word.endswith("e") else ()


def _first_word(phrase: str) -> str:
    """What of a context word a text holds unchanged: between its words may be any signs."""
    match = re.search(r"\w+", phrase)
    return match[0] if match else phrase


def _triggers(words: Iterable[str]) -> frozenset[str] | None:
    forms = {
        scan_form(re.escape(_first_word(form)), int(re.I), "re")
        for word in words
        for form in (word, *_ing(word))
    }
    return None if None in forms else frozenset(filter(None, forms))

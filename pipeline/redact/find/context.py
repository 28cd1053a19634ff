"""The context boost: Presidio's rule, looked up in a small window around a finding.

Stock takes the finding's own token and the five words before it that are no stop words, by spaCy
lemma, and looks for context words as substrings. Here words come from the text (a final `e` of the
context word is dropped, so that "saving" supports "save" without lemmas). Context words of up to three
letters must be whole words: as substrings they made every "policy" a driver's "lic"ence.
"""

import re
from collections.abc import Iterable, Sequence

BOOST = 0.35
LEAST_BOOSTED = 0.4
WORDS_BEFORE = 5
WINDOW_CHARS = 400
_WORD = re.compile(r"\w+(?:['’]\w+)?#?")
# fmt: off
_STOP = frozenset((
    "a", "about", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
    "because", "been", "before", "but", "by", "can", "could", "did", "do", "does", "for", "from", "had",
    "has", "have", "he", "her", "here", "hers", "him", "his", "how", "i", "if", "in", "into", "is",
    "it", "its", "just", "me", "more", "most", "my", "no", "not", "now", "of", "on", "one", "only",
    "or", "other", "our", "out", "over", "own", "please", "same", "she", "should", "so", "some", "such",
    "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those",
    "through", "to", "too", "under", "up", "used", "using", "very", "via", "was", "we", "were", "what",
    "when", "where", "which", "who", "whom", "whose", "why", "will", "with", "would", "you", "your",
    "yours",
))
# fmt: on
"""Words that stock skips too (a subset of spaCy's stop words): they do not use up the five."""


def stem(context_word: str) -> str:
    """The form that is looked for."""
    lowered = context_word.lower().strip()
    return lowered[:-1] if len(lowered) > 4 and lowered.endswith("e") else lowered


def mentions(lowered: str, context_words: Iterable[str]) -> bool:
    """Whether a text could support any finding: true wherever `supports` could be."""
    return any(stem(word) in lowered for word in context_words)


def supports(text: str, start: int, end: int, context_words: Sequence[str]) -> bool:
    """Whether the words before (and in) the finding hold one of the context words."""
    window_start = max(0, start - WINDOW_CHARS)
    window = text[window_start : min(end, start + WINDOW_CHARS)].lower()
    inside = _around(text, start)
    near: list[str] = [inside] if inside else []
    remaining = WORDS_BEFORE + 1
    for match in reversed(list(_WORD.finditer(window, 0, start - window_start))):
        near.append(match[0])
        remaining -= match[0] not in _STOP
        if remaining <= 0:
            break
    phrase = " ".join(reversed(near))
    words = set(near)
    return any(_found(word, phrase, words) for word in context_words)


def boosted(score: float) -> float:
    """The score of a supported finding."""
    return min(1.0, max(score + BOOST, LEAST_BOOSTED))


def _around(text: str, start: int) -> str:
    """The part of the finding's own token that stands before the finding ("ssn123-…")."""
    match = re.search(r"\w{1,40}$", text[max(0, start - 40) : start])
    return match[0].lower() if match else ""


def _found(context_word: str, phrase: str, words: set[str]) -> bool:
    wanted = stem(context_word)
    if len(wanted) <= 3:
        return wanted in words or f"{wanted}s" in words
    return wanted in phrase

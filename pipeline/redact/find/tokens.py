"""spaCy's tokens of English, without a model: what the context rule counts."""

import functools
import threading
from typing import Any, NamedTuple

REMEMBERED = 1 << 15
FRESH_AFTER = 1 << 16
"""A tokenizer keeps every string that it has met: after so many new ones a fresh one takes over."""
LONGEST_CHUNK = 512
"""Longer chunks are one token: a tokenizer's time grows with their square."""


class Token(NamedTuple):
    """One token of a chunk without white space."""

    lowered: str
    end: int
    """Where it ends in its chunk."""
    is_word: bool
    """No stop word, no sign."""
    is_counted: bool
    """Whether it is one of the words that stock looks at: a word, and without a colon in it."""


@functools.lru_cache(REMEMBERED)
def tokens_of(chunk: str) -> tuple[Token, ...]:
    """The tokens of a chunk, in order; at least one."""
    if len(chunk) > LONGEST_CHUNK or not chunk:
        return (Token(chunk.lower(), len(chunk), True, True),)
    return tuple(
        Token(
            t.text.lower(),
            t.idx + len(t.text),
            not (t.is_stop or t.is_punct),
            not (t.is_stop or t.is_punct or ":" in t.text),
        )
        for t in _source.tokenizer()(chunk)
    )


class _Source:
    """Gives the tokenizer, and a fresh one now and then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given = 0
        self._tokenizer: Any = None

    def tokenizer(self) -> Any:
        with self._lock:
            if self._tokenizer is None or self._given >= FRESH_AFTER:
                import spacy  # Presidio has loaded it

                self._tokenizer, self._given = spacy.blank("en").tokenizer, 0
            self._given += 1
            return self._tokenizer


_source = _Source()

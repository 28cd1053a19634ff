"""What is known of a word by itself: its spelling, its shape, and the lists that it stands in.

Features are computed for words in bulk, each word type once; their order and hashes are part of the
trained weights: a change here needs `make train-tagger`.
"""

import unicodedata
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SPELLING_CHARS = 22
"""Of a longer word the beginning and the end are read."""
GRAM_BITS = 14
GRAMS = 1 << GRAM_BITS
GRAM_SLOTS = SPELLING_CHARS + 11
"""Prefixes and suffixes of one to five characters, the whole word, every three characters."""
WHOLE_SLOT = 10
"""The slot of the whole word."""
SHAPES = 16 * 8 * 2 * 2

_MASK = 0xFFFFFFFF
_PRIME = np.uint32(0x01000193)
_END_KINDS = np.array([[kind * 0x9E3779B1 & _MASK] for kind in (1, 2)], np.uint32)
"""What the hashes of prefixes and suffixes begin with."""
_LEAST_SIZES = np.array([*range(1, 6), *range(1, 6), 0, *range(1, SPELLING_CHARS + 1)])
"""The length of a word from which on each slot holds something."""
# Letters that Unicode does not take apart into a letter and a mark.
_STROKES = str.maketrans(
    {"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ð": "d", "ß": "ss", "æ": "ae", "œ": "oe", "þ": "th"}
)
_CASELESS = (("\u0590", "\u05ff"), ("\u0600", "\u06ff"))
_LENGTHS = (0, 1, 2, 3, 4, 4, 5, 5, 5, 6, 6, 6, 6)


class Words(NamedTuple):
    """The features of n word types, row by row."""

    keys: list[str]
    """Each word as lists hold it: lower case, without accents and spaces."""
    grams: NDArray[np.int32]
    """(n, GRAM_SLOTS) rows of the table of spellings; GRAMS where a slot is empty."""
    shapes: NDArray[np.int32]
    """(n,) case, length, whether it has accents and whether a space is before it; below SHAPES."""


def describe(tokens: Sequence[str]) -> Words:
    """The features of tokens as `tokenize` gives them."""
    bare = [token.strip(" ") or " " for token in tokens]
    keys = [fold(word) for word in bare]
    shapes = [_shape(word, key, token[0] == " ") for word, key, token in zip(bare, keys, tokens, strict=True)]
    # Spelling without accents: text in capitals or plain ASCII has lost them.
    return Words(keys=keys, grams=_grams(keys), shapes=np.array(shapes, np.int32).reshape(-1))


def fold(word: str) -> str:
    """The form in which lists hold words: `José` and `JOSE` are `jose`, `Işık` and `ISIK` are `isik`."""
    lowered = word.lower()
    if lowered.isascii():
        return lowered
    parts = unicodedata.normalize("NFKD", lowered.translate(_STROKES))
    return "".join(c for c in parts if not unicodedata.combining(c)) or lowered


def hash_of(key: str) -> int:
    """32 bits that stand for a folded word."""
    return zlib.crc32(key.encode("utf-8", "surrogatepass"))


def _shape(word: str, key: str, spaced: bool) -> int:
    length = len(word)
    size = _LENGTHS[length] if length < len(_LENGTHS) else 7
    accents = not word.isascii() and word.lower() != key
    return ((_case(word, word[0]) * 8 + size) * 2 + accents) * 2 + spaced


def _case(word: str, first: str) -> int:
    if not first.isalpha():
        return 0 if first.isdigit() else 1 if first.isspace() else 2
    if first.isupper() or first.islower():
        return _capitals(word, first)
    if "\u3040" <= first <= "\ud7ff":
        return 9 if first < "\u3100" else 10 if first < "\ua000" else 11
    return next((12 + i for i, (low, high) in enumerate(_CASELESS) if low <= first <= high), 14)


def _capitals(word: str, first: str) -> int:
    if word.islower():
        return 3
    if word.isupper():
        return 4 if len(word) > 1 else 5
    if first.isupper():
        return 6 if word[1:].islower() else 7
    return 8


def _grams(words: list[str]) -> NDArray[np.int32]:
    """Rows by hashing. Every operation is on 32-bit integers: the same on every machine."""
    if not words:
        return np.zeros((0, GRAM_SLOTS), np.int32)
    half = SPELLING_CHARS // 2
    cut = [w if len(w) <= SPELLING_CHARS else w[:half] + w[-half:] for w in words]
    sizes = np.array([len(w) for w in cut])
    width = SPELLING_CHARS + 2
    flat = "".join([f"\x02{w}\x03".ljust(width, "\0") for w in cut])
    chars = np.frombuffer(flat.encode("utf-32-le", "surrogatepass"), np.uint32).reshape(-1, width)
    # Row r's suffix of k characters ends at column sizes[r] + 1, the end mark included.
    back = np.maximum(sizes[:, None] + 1 - np.arange(6), 0)
    ends = np.stack([chars[:, :6], np.take_along_axis(chars, back, axis=1)])
    hashes = np.empty((2, len(cut), 5), np.uint32)
    rolling = _END_KINDS.repeat(len(cut), axis=1)
    for k in range(6):
        rolling = (rolling ^ ends[:, :, k]) * _PRIME
        if k:  # the mark alone says nothing
            hashes[:, :, k - 1] = rolling
    whole = np.full(len(cut), 0x811C9DC5, np.uint32)
    for column in np.ascontiguousarray(chars.T):
        whole = (whole ^ column) * _PRIME
    a, b, c = chars[:, :-2], chars[:, 1:-1], chars[:, 2:]
    threes = ((a * np.uint32(0x85EBCA6B) ^ b) * np.uint32(0xC2B2AE35) ^ c) * np.uint32(0x27D4EB2F)
    rows = _row(np.hstack([hashes[0], hashes[1], whole[:, None], threes]))
    rows[sizes[:, None] < _LEAST_SIZES] = GRAMS
    return rows


def _row(hashed: NDArray[np.uint32]) -> NDArray[np.int32]:
    mixed = (hashed ^ (hashed >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    mixed ^= mixed >> np.uint32(12)
    return (mixed >> np.uint32(32 - GRAM_BITS)).astype(np.int32)

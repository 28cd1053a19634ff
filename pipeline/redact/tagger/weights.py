"""The trained numbers: int8 tables and matrices, and the frequent words that have rows of their own."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TAGS = ("O", "PERSON", "ADDRESS", "PLACE", "NRP", "ORG")
"""What a token can be part of; O is nothing. Inside–outside: a span is a run of equal tags."""

TABLE_UNIT = 32
"""A table's 1.0: int8 rows hold -4 to 4."""
STATE_UNIT = 16
"""A state's 1.0: states are whole numbers from 0 to MAX_STATE."""
MATRIX_UNIT = 64
"""A matrix's 1.0: int8 matrices hold -2 to 2."""
MAX_STATE = 127


class Weights(NamedTuple):
    """`d` numbers a word, `w` numbers a layer, `t` tags."""

    vocabulary: tuple[str, ...]
    """Folded words, each with a row in `words`; the row after the last is for every other word."""
    grams: NDArray[np.int8]
    """(GRAMS + 1, d); the last row is zero."""
    words: NDArray[np.int8]
    """(len(vocabulary) + 1, d)"""
    shapes: NDArray[np.int8]
    """(SHAPES, d)"""
    lists: NDArray[np.int8]
    """(len(LISTS), d)"""
    window: NDArray[np.int8]
    """(5, d, w): what a word adds to the states of the words from two before to two after it."""
    near: NDArray[np.int8]
    """(3, w, w): the second layer, over neighbours."""
    far: NDArray[np.int8]
    """(3, w, w): the third layer, over words FAR apart."""
    out: NDArray[np.int8]
    """(w, t)"""
    biases: NDArray[np.int32]
    """(d + 3w + t,): of words in TABLE_UNIT * MATRIX_UNIT, then of layers in STATE_UNIT * MATRIX_UNIT."""

    @classmethod
    def load(cls, path: Path) -> "Weights":
        """From the file that `save` wrote."""
        with np.load(path, allow_pickle=False) as held:
            words = held["vocabulary"].tobytes().decode().split("\n")
            arrays = {name: held[name] for name in cls._fields if name != "vocabulary"}
        return cls(vocabulary=tuple(words), **arrays)

    def save(self, path: Path) -> None:
        """To a file, the same bytes for the same numbers."""
        text = np.frombuffer("\n".join(self.vocabulary).encode(), np.uint8)
        np.savez_compressed(path, allow_pickle=False, **(self._asdict() | {"vocabulary": text}))

"""The forward pass: a tag's strength for every token, the same bits whatever is read with it.

All states and weights are whole numbers, held as float32 for the speed of its matrix product. Every sum
stays below 2**24, where float32 is exact: no order of addition, batch or machine changes a result.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.redact.tagger.features import GRAMS, describe
from pipeline.redact.tagger.gazetteer import LISTS, Gazetteer
from pipeline.redact.tagger.tokens import BOUNDARY
from pipeline.redact.tagger.weights import MATRIX_UNIT, MAX_STATE, STATE_UNIT, TABLE_UNIT, Weights

FAR = 3
"""How far the third layer looks; as many boundaries are between texts."""
REACH = 2 + 1 + FAR
"""Tokens that a token sees to each side."""
BLOCK_TOKENS = 8192
"""Numbered at once: what is learned of new word types has a price for each time."""
CHUNK_TOKENS = 2048
"""Read at once: the states stay in the processor's cache."""
CHUNK_TYPES = 128
"""Described at once, for the same reason."""
MAX_TYPES = 40_000
"""Word types remembered, 640 bytes each; then all are forgotten."""
CERTAIN = 1 << 23
"""The strength of "nothing" at a boundary."""
_PART_UNIT = 4
_PART_LIMIT = 32767 // 5
_PER_MATRIX_UNIT = np.float32(1 / MATRIX_UNIT)
_LEAST_STATE, _MOST_STATE = np.float32(0), np.float32(MAX_STATE)

Floats = NDArray[np.float32]


class WordTypes(dict[str, int]):
    """The number of each word type. Numbers of equal length are one type, so novel ones cost nothing."""

    def __init__(self) -> None:
        super().__init__({BOUNDARY: 0})
        self.novel: list[str] = [BOUNDARY]

    def __missing__(self, token: str) -> int:
        if token[-1].isdecimal():
            zeros = token[: len(token) - len(token.lstrip(" "))] + "0" * len(token.lstrip(" "))
            if zeros != token:
                return self[zeros]
        number = self[token] = len(self)
        self.novel.append(token)
        return number


class Model:
    """Remembers what the first layer makes of each word type: a cost paid once a type."""

    def __init__(self, weights: Weights, gazetteer: Gazetteer) -> None:
        self._gazetteer = gazetteer
        self._vocabulary = {word: row for row, word in enumerate(weights.vocabulary)}
        # Sums of int8 rows: held as int16, what is added up needs no conversion.
        self._grams = weights.grams.astype(np.int16)
        self._words, self._shapes = weights.words.astype(np.float32), weights.shapes.astype(np.float32)
        self._lists = weights.lists.astype(np.float32)
        d, w = weights.window.shape[1:]
        self._window = weights.window.transpose(1, 0, 2).reshape(d, 5 * w).astype(np.float32)
        self._near, self._far = _scaled(weights.near), _scaled(weights.far)
        self._out = weights.out.astype(np.float32)
        cuts = np.cumsum([d, w, w, w])
        biases = np.split(weights.biases.astype(np.float32), cuts)
        self._word_bias, self._out_bias = biases[0] * _PER_MATRIX_UNIT, biases[4]
        self._first_bias = np.rint(biases[1] / _PART_UNIT)
        self._near_bias, self._far_bias = biases[2] * _PER_MATRIX_UNIT, biases[3] * _PER_MATRIX_UNIT
        self._width = w
        self._forget()

    def _forget(self) -> None:
        self._types = WordTypes()
        self._parts = np.zeros((5, 0, self._width), np.int16)

    def read(self, tokens: Sequence[str]) -> NDArray[np.int32]:
        """(n, tags): each token's strength by tag, in STATE_UNIT * MATRIX_UNIT."""
        strengths: list[Floats] = [np.zeros((0, self._out.shape[1]), np.float32)]
        edge = [BOUNDARY] * REACH
        padded = [*edge, *tokens, *edge]
        for block in range(0, len(tokens), BLOCK_TOKENS):
            numbers = self._numbers(padded[block : block + BLOCK_TOKENS + 2 * REACH])
            for start in range(0, len(numbers) - 2 * REACH, CHUNK_TOKENS):
                ids = numbers[start : start + CHUNK_TOKENS + 2 * REACH]
                found = self._forward(ids)
                found[ids[REACH:-REACH] == 0, 0] = CERTAIN
                strengths.append(found)
        return np.concatenate(strengths).astype(np.int32)

    def _numbers(self, tokens: list[str]) -> NDArray[np.int64]:
        """The tokens' types, those never seen added to what is known."""
        if len(self._types) + len(tokens) > MAX_TYPES:
            self._forget()
        ids = np.fromiter(map(self._types.__getitem__, tokens), np.int64, len(tokens))
        if self._types.novel:
            try:
                self._learn(self._types.novel)
            except BaseException:
                self._forget()  # numbers without rows would give every later text wrong results
                raise
            self._types.novel = []
        return ids

    def _learn(self, tokens: list[str]) -> None:
        known, room = len(self._types) - len(tokens), self._parts.shape[1]
        if len(self._types) > room:
            more = max(room, len(self._types) - room, 1024)
            self._parts = np.pad(self._parts, ((0, 0), (0, more), (0, 0)))
        self._parts[:, known : len(self._types)] = self._first_parts(tokens)

    def _first_parts(self, tokens: list[str]) -> NDArray[np.int16]:
        """(5, types, w): what each type adds to its own and its neighbours' states, by _PART_UNIT."""
        words = describe(tokens)
        spelling = np.empty((len(tokens), self._grams.shape[1]), np.int16)
        for start in range(0, len(tokens), CHUNK_TYPES):
            part = slice(start, start + CHUNK_TYPES)
            np.add.reduce(self._grams.take(words.grams[part], axis=0), axis=1, out=spelling[part])
        filled = (words.grams != GRAMS).sum(axis=1)
        scale = (1 / np.sqrt(np.maximum(filled, 1))).astype(np.float32)
        unknown = len(self._vocabulary)
        rows = [self._vocabulary.get(key, unknown) for key in words.keys]
        bits = self._gazetteer.bits(words.keys)
        flags = (bits[:, None] >> np.arange(len(LISTS), dtype=np.uint16) & 1).astype(np.float32)
        known = self._words[rows] + self._shapes[words.shapes] + flags @ self._lists + self._word_bias
        state = _state((known + spelling * scale[:, None]) * np.float32(STATE_UNIT / TABLE_UNIT))
        parts = np.rint(state @ self._window * np.float32(1 / _PART_UNIT))
        limited = np.clip(parts, -_PART_LIMIT, _PART_LIMIT).astype(np.int16)
        return limited.reshape(len(tokens), 5, self._width).swapaxes(0, 1)

    def _forward(self, ids: NDArray[np.int64]) -> Floats:
        """Strengths of all but the first and last REACH tokens."""
        gaps = np.flatnonzero(ids == 0)
        size = len(ids) - 4
        total = self._parts[4].take(ids[:size], axis=0)
        for k in range(1, 5):
            total += self._parts[4 - k].take(ids[k : k + size], axis=0)
        first = total.astype(np.float32)
        first += self._first_bias
        first *= np.float32(_PART_UNIT / MATRIX_UNIT)
        first = _silent(_state(first), gaps - 2)
        near = _silent(self._layer(first, 1, self._near, self._near_bias), gaps - 3)
        far = self._layer(near, FAR, self._far, self._far_bias)
        return far @ self._out + self._out_bias

    def _layer(self, state: Floats, step: int, matrix: Floats, bias: Floats) -> Floats:
        size = len(state) - 2 * step
        # Three products: to lay the three states side by side for one takes longer.
        total = state[:size] @ matrix[0]
        total += state[step : step + size] @ matrix[1]
        total += state[2 * step :] @ matrix[2]
        total += bias
        return _state(total)


def _scaled(layer: NDArray[np.int8]) -> Floats:
    """(3, w, w) in 1/MATRIX_UNIT, with what hands the word's own state on added."""
    matrix = layer.astype(np.float32) * _PER_MATRIX_UNIT
    matrix[1] += np.eye(layer.shape[2], dtype=np.float32)
    return matrix


def _silent(state: Floats, rows: NDArray[np.int64]) -> Floats:
    """The states with those of boundaries set to zero, in place."""
    state[rows[(rows >= 0) & (rows < len(state))]] = 0
    return state


def _state(values: Floats) -> Floats:
    """Rounded to whole numbers and limited, in place."""
    np.rint(values, out=values)
    return np.clip(values, _LEAST_STATE, _MOST_STATE, out=values)

"""Arrays indexed by a key's slot: they grow together, and are as narrow as what they hold allows."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.evidence import Ints


class Column(NamedTuple):
    """What one array holds."""

    dtype: Any
    empty: float = 0
    """The value of a slot that is not in use."""
    width: int = 0
    """Values a slot; 0: one, without an axis of its own."""


class Arrays:
    """Named columns over slots."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = dict(columns)
        self._arrays: dict[str, NDArray[Any]] = {name: _new(one, 0) for name, one in columns.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    def grow(self, slots: int) -> None:
        """Make room for so many slots; where there is room for more already, nothing happens."""
        for name, column in self._columns.items():
            array = self._arrays[name]
            if slots > len(array):
                self._arrays[name] = np.concatenate([array, _new(column, slots - len(array))])

    def clear(self, slots: Ints) -> None:
        """Empty these slots."""
        for name, column in self._columns.items():
            self._arrays[name][slots] = column.empty

    def take(self, slots: Ints) -> dict[str, NDArray[Any]]:
        """A copy of what these slots hold."""
        return {name: array[slots] for name, array in self._arrays.items()}

    def put(self, slots: Ints, values: Mapping[str, NDArray[Any]]) -> None:
        """Write back what `take` gave."""
        for name, array in self._arrays.items():
            array[slots] = values[name]

    def state(self) -> dict[str, bytes]:
        """What a snapshot holds."""
        return {name: array.tobytes() for name, array in self._arrays.items()}

    def load(self, state: Mapping[str, bytes]) -> None:
        """Take over a snapshot's arrays."""
        for name, column in self._columns.items():
            array = np.frombuffer(state[name], dtype=column.dtype).copy()
            self._arrays[name] = array.reshape(-1, column.width) if column.width else array


def _new(column: Column, slots: int) -> NDArray[Any]:
    shape = (slots, column.width) if column.width else (slots,)
    return np.full(shape, column.empty, dtype=column.dtype)

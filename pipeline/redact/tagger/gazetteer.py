"""Lists of words in a few hundred KB: sorted 32-bit hashes, each with one bit a list."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.redact.tagger.features import hash_of

LISTS = (
    "first_name",
    "frequent_first_name",
    "last_name",
    "name_word",
    "city",
    "city_part",
    "country",
    "state",
    "nationality",
    "street_core",
    "organization_part",
    "common_word",
    "very_common_word",
)
"""The lists, by bit. The order is part of the trained weights."""


class Gazetteer:
    """Which lists a folded word stands in. A stranger is in one by chance in one case of 20,000."""

    def __init__(self, hashes: NDArray[np.uint32], bits: NDArray[np.uint16]) -> None:
        self._hashes = hashes
        self._bits = bits

    @classmethod
    def of(cls, lists: Mapping[str, Sequence[str]]) -> "Gazetteer":
        """From folded words by list."""
        held: dict[int, int] = {}
        for name, words in lists.items():
            for word in words:
                key = hash_of(word)
                held[key] = held.get(key, 0) | 1 << LISTS.index(name)
        ordered = sorted(held.items())
        return cls(np.array([k for k, _ in ordered], np.uint32), np.array([b for _, b in ordered], np.uint16))

    @classmethod
    def load(cls, path: Path) -> "Gazetteer":
        """From the file that `save` wrote."""
        with np.load(path, allow_pickle=False) as held:
            return cls(held["hashes"], held["bits"])

    def save(self, path: Path) -> None:
        """To a file, the same bytes for the same lists."""
        np.savez_compressed(path, hashes=self._hashes, bits=self._bits)

    def bits(self, keys: Sequence[str]) -> NDArray[np.uint16]:
        """For each folded word the lists that it stands in, one bit each."""
        wanted = np.array([hash_of(key) for key in keys], np.uint32)
        if not len(self._hashes):
            return np.zeros(len(wanted), np.uint16)
        places = np.minimum(np.searchsorted(self._hashes, wanted), len(self._hashes) - 1)
        return np.where(self._hashes[places] == wanted, self._bits[places], 0).astype(np.uint16)

    def __len__(self) -> int:
        return len(self._hashes)

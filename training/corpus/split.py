"""Which values are held out: one in eight by a hash, so that a value is on the same side everywhere."""

import hashlib
import unicodedata
from functools import lru_cache
from typing import Literal

Split = Literal["train", "held_out"]

HELD_OUT_ONE_IN = 8

# Letters that Unicode does not take apart into a letter and a mark.
_STROKES = str.maketrans("ıłøđð", "ilodd")


def folded(value: str) -> str:
    """Casefolded and without accents: José and JOSE are one value, so are Işık and ISIK."""
    marks_apart = unicodedata.normalize("NFKD", value.casefold().translate(_STROKES))
    return "".join(char for char in marks_apart if not unicodedata.combining(char))


@lru_cache(maxsize=1 << 18)
def is_held_out(value: str) -> bool:
    """Whether the value's folded form hashes into the held-out eighth."""
    return digest(folded(value)) % HELD_OUT_ONE_IN == 0


def digest(text: str) -> int:
    """64 bits that are always the same for a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def in_split(value: str, split: Split, always_train: frozenset[str] = frozenset()) -> bool:
    """Whether the value belongs to the split; `always_train` holds folded values that are never held out."""
    held_out = is_held_out(value) and folded(value) not in always_train
    return held_out == (split == "held_out")

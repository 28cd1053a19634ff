"""Logarithmic bins, three an octave: how long calls take and how many tokens they use, in one byte each.

Edges are integers, so that a value falls into the same bin everywhere. Bin 0: no value.
"""

import numpy as np
from numpy.typing import NDArray

from detectors.evidence import Floats, Ints

PER_OCTAVE = 3
BINS = 64
"""63 bins of values: from 1 ms to 35 minutes, or from 1 to two million tokens; the last is open."""
MS_IN_NS = 1_000_000

Bytes = NDArray[np.uint8]

EDGES: Floats = 2.0 ** (np.arange(BINS - 1) / PER_OCTAVE)
"""The lower edge of bin n + 1, in ms or tokens."""
_NS_EDGES: Ints = np.ceil(EDGES * MS_IN_NS).astype(np.int64)
_TOKEN_EDGES: Ints = np.ceil(EDGES - 1e-9).astype(np.int64)
_UNITS: Floats = 2.0 ** (-np.arange(BINS) / PER_OCTAVE)


def duration_bins(duration_ns: Ints) -> Bytes:
    """The bin of each duration. Under a millisecond is bin 1; 0 means that none was sent: bin 0."""
    found = np.searchsorted(_NS_EDGES, duration_ns, side="right")
    return np.where(duration_ns > 0, np.maximum(found, 1), 0).astype(np.uint8)


def token_bins(tokens: Ints) -> Bytes:
    """The bin of each number of tokens."""
    return np.searchsorted(_TOKEN_EDGES, tokens, side="right").astype(np.uint8)


def upper_edge_ns(bin_: int) -> int:
    """The duration above which a call lies in a higher bin."""
    return int(_NS_EDGES[min(bin_, BINS - 2)])


def upper_edge_tokens(bin_: int) -> int:
    """The number of tokens from which a call lies in a higher bin."""
    return int(_TOKEN_EDGES[min(bin_, BINS - 2)])


def shares_of(bins: Bytes, cap: Bytes) -> Floats:
    """Each value as a share of its cap (another bin), at most 1, to a third of an octave; 0 for none."""
    below = np.maximum(cap.astype(np.int64) - bins, 0)
    return np.where(bins > 0, _UNITS[below], 0.0)

"""Two samples compared as they come: does one of them have hits more often than the other, by more than a
margin? The answer may be read at any time and as often as one likes.

E-variables for two Bernoulli samples in blocks (Turner, Ly, Grünwald 2024, "Generic E-variables for exact
sequential k-sample tests"; Turner, Grünwald 2023, "Exact anytime-valid confidence intervals for contingency
tables and beyond"): for a block with n and m units of the two arms and any point (p, q) chosen before it, the
likelihood ratio of (p, q) to its Kullback–Leibler projection on a convex null has a mean of at most 1 under
every point of the null. Blocks multiply, alternatives average. The two shares may move together from
block to block as they like: only what differs within a block counts.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from detectors.evidence import Floats, mixture

STEPS = (0.04, 0.12, 0.3, 0.6)
"""Alternatives: so much beyond the margin; and one more as far as was seen so far."""
SMALLEST = 1e-3
"""Of an alternative's share and its distance to 0 and 1."""
NEAREST = 0.01
"""An alternative lies at least so far from the margin."""
BISECTIONS = 40


class Block(NamedTuple):
    """What one block holds: for each measure hits and units, of the trial and of the reference."""

    hits: Floats
    units: Floats
    reference_hits: Floats
    reference_units: Floats


class TwoSample:
    """Evidence on `margins.size` measures: that the trial's share exceeds the reference's by more than the
    margin, and that it does not."""

    def __init__(self, margins: Floats) -> None:
        self._margins = margins[:, None]
        self.totals = np.zeros((4, len(margins)))
        """Hits and units of the trial, hits and units of the reference."""
        self._above = np.zeros((len(margins), len(STEPS) + 1))
        self._below = np.zeros((len(margins), 2))

    @property
    def log_above(self) -> Floats:
        """Log e-value, per measure, against "exceeds by no more than the margin"."""
        return mixture(self._above)

    @property
    def log_below(self) -> Floats:
        """Log e-value, per measure, against "exceeds by the margin or more"."""
        return mixture(self._below)

    def add(self, block: Block) -> None:
        """Take in one block. What is expected of it comes from the blocks before."""
        both = (block.units > 0) & (block.reference_units > 0)
        trial, reference = self._shares()
        edge = reference + self._margins
        above, below = self._above_points(trial, edge), self._below_points(trial, reference, edge)
        for log_e, points, sided in (
            (self._above, above, above - edge >= NEAREST / 2),
            (self._below, below, edge - below >= NEAREST / 2),
        ):
            # What clipping has put on the line or on its wrong side is no alternative.
            ratio = log_ratio(block, points, reference, self._margins)
            np.add(log_e, ratio, out=log_e, where=both[:, None] & sided)
        self.totals += np.stack(block)

    def _shares(self) -> tuple[Floats, Floats]:
        """The shares seen so far, measures × 1, drawn towards that of both arms together."""
        hits, units, reference_hits, reference_units = self.totals[:, :, None]
        pooled = (hits + reference_hits + 0.2) / (units + reference_units + 2)
        reference = (reference_hits + 2 * pooled) / (reference_units + 2)
        return (hits + 2 * pooled) / (units + 2), np.clip(reference, SMALLEST, 1 - SMALLEST)

    def _above_points(self, trial: Floats, edge: Floats) -> Floats:
        points = np.concatenate([edge + np.array(STEPS), np.maximum(trial, edge + NEAREST)], axis=1)
        return np.clip(points, SMALLEST, 1 - SMALLEST)

    def _below_points(self, trial: Floats, reference: Floats, edge: Floats) -> Floats:
        points = np.concatenate([reference, np.minimum(trial, edge - NEAREST)], axis=1)
        return np.clip(points, SMALLEST, 1 - SMALLEST)

    def state(self) -> Mapping[str, Any]:
        """What a snapshot holds."""
        arrays = {"totals": self.totals, "above": self._above, "below": self._below}
        return {name: array.tobytes() for name, array in arrays.items()}

    def load(self, state: Mapping[str, Any]) -> None:
        self.totals = np.frombuffer(state["totals"]).reshape(self.totals.shape).copy()
        self._above = np.frombuffer(state["above"]).reshape(self._above.shape).copy()
        self._below = np.frombuffer(state["below"]).reshape(self._below.shape).copy()


def log_ratio(block: Block, trial: Floats, reference: Floats, margins: Floats) -> Floats:
    """Log likelihood ratios of the points (trial, reference) to their projections on the line
    trial = reference + margin. Measures × points."""
    hits, units, reference_hits, reference_units = (part[:, None] for part in block)
    projected = _project(trial, reference, units, reference_units, margins)
    return (
        hits * np.log(trial / (projected + margins))
        + (units - hits) * np.log((1 - trial) / (1 - projected - margins))
        + reference_hits * np.log(reference / projected)
        + (reference_units - reference_hits) * np.log((1 - reference) / (1 - projected))
    )


def _project(trial: Floats, reference: Floats, units: Floats, others: Floats, margins: Floats) -> Floats:
    """The reference's share at the point of the line with the least divergence, found by bisection: the
    divergence is convex, and its slope changes sign between the two points' own places on the line."""
    ends = np.broadcast_arrays(reference, trial - margins)
    low = np.clip(np.minimum(*ends), 1e-9, 1 - margins - 1e-9)
    high = np.clip(np.maximum(*ends), 1e-9, 1 - margins - 1e-9)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        shifted = middle + margins
        slope = units * (shifted - trial) / (shifted * (1 - shifted)) + others * (middle - reference) / (
            middle * (1 - middle)
        )
        low, high = np.where(slope < 0, middle, low), np.where(slope < 0, high, middle)
    return (low + high) / 2

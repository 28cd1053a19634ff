"""The run time's model in JAX: the same whole-number states, with gradients that ignore the rounding."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from pipeline.redact.tagger.features import GRAMS, SHAPES
from pipeline.redact.tagger.gazetteer import LISTS
from pipeline.redact.tagger.model import FAR
from pipeline.redact.tagger.weights import MATRIX_UNIT, MAX_STATE, STATE_UNIT, TABLE_UNIT, TAGS
from training.tagger.export import INT8

Parameters = dict[str, jax.Array]
DROP_WORD, DROP_LISTS, DROP_GRAMS, DROP_STATE = 0.05, 0.15, 0.1, 0.1
"""Of the word types in a step, those that lose a feature; of the states, those set to zero."""


class Batch(NamedTuple):
    """One step's tokens, and the features of the word types among them."""

    ids: NDArray[np.int32]
    """(n,) each token's row among the types below; row 0 is the boundary."""
    labels: NDArray[np.int32]
    grams: NDArray[np.int32]
    """(m,) rows of the table of spellings, of all types one after the other."""
    owners: NDArray[np.int32]
    """(m,) whose they are, ascending; past the types where the row is padding."""
    filled: NDArray[np.float32]
    words: NDArray[np.int32]
    shapes: NDArray[np.int32]
    flags: NDArray[np.float32]


def fresh(vocabulary: int, d: int, w: int, seed: int) -> Parameters:
    """Parameters before training."""
    keys = iter(jax.random.split(jax.random.key(seed), 16))

    def normal(shape: tuple[int, ...], scale: float) -> jax.Array:
        return jax.random.normal(next(keys), shape) * scale

    t = len(TAGS)
    return {
        "grams": normal((GRAMS, d), 0.15),
        "words": normal((vocabulary + 1, d), 0.15),
        "shapes": normal((SHAPES, d), 0.15),
        "lists": normal((len(LISTS), d), 0.15),
        "window": normal((5, d, w), (2 / (5 * d)) ** 0.5),
        "near": normal((3, w, w), 0.5 * (2 / (3 * w)) ** 0.5),
        "far": normal((3, w, w), 0.5 * (2 / (3 * w)) ** 0.5),
        "out": normal((w, t), w**-0.5),
        "word_bias": jnp.full(d, 0.3),
        "window_bias": jnp.zeros(w),
        "near_bias": jnp.zeros(w),
        "far_bias": jnp.zeros(w),
        "out_bias": jnp.zeros(t),
    }


def rounded(values: jax.Array, unit: int) -> jax.Array:
    """As int8 in 1/unit; the gradient is that of the values themselves."""
    whole = jnp.clip(jnp.round(values * unit), -INT8, INT8) / unit
    return values + jax.lax.stop_gradient(whole - values)


def state(values: jax.Array) -> jax.Array:
    """What the run time's `_state` keeps of a sum."""
    limited = jnp.clip(values, 0, MAX_STATE / STATE_UNIT)
    whole = jnp.round(limited * STATE_UNIT) / STATE_UNIT
    return limited + jax.lax.stop_gradient(whole - limited)


def strengths(p: Parameters, batch: Batch, key: jax.Array | None) -> jax.Array:
    """(n, tags). With a key features and states are dropped at random, as training needs."""
    keys = iter(jax.random.split(key, 6)) if key is not None else None

    def dropped(values: jax.Array, share: float) -> jax.Array:
        """Whole rows of word types set to zero."""
        if keys is None:
            return values
        return values * jax.random.bernoulli(next(keys), 1 - share, (len(values), 1))

    def thinned(values: jax.Array) -> jax.Array:
        if keys is None:
            return values
        keep = jax.random.bernoulli(next(keys), 1 - DROP_STATE, values.shape)
        return values * keep / (1 - DROP_STATE)

    rows = rounded(p["grams"], TABLE_UNIT)[batch.grams]
    size = len(batch.filled)
    spelling = jax.ops.segment_sum(rows, batch.owners, size + 1, indices_are_sorted=True)[:size]
    spelling *= batch.filled[:, None]
    words = rounded(p["words"], TABLE_UNIT)[batch.words]
    unknown = rounded(p["words"], TABLE_UNIT)[-1]
    if keys is not None:
        forget = jax.random.bernoulli(next(keys), DROP_WORD, (len(words), 1))
        words = jnp.where(forget, unknown, words)
    total = words + rounded(p["shapes"], TABLE_UNIT)[batch.shapes] + p["word_bias"]
    total += dropped(batch.flags @ rounded(p["lists"], TABLE_UNIT), DROP_LISTS)
    word_state = state(total + dropped(spelling, DROP_GRAMS))
    n = len(batch.ids)
    text = (batch.ids != 0)[:, None]
    window = rounded(p["window"], MATRIX_UNIT)
    parts = jnp.einsum("ud,kdw->ukw", word_state, window)
    around = jnp.pad(batch.ids, 2)
    first = sum((parts[around[k : k + n], 4 - k] for k in range(5)), p["window_bias"])
    hidden = thinned(state(first) * text)
    hidden = thinned(_layer(hidden, 1, p["near"], p["near_bias"]) * text)
    hidden = thinned(_layer(hidden, FAR, p["far"], p["far_bias"]))
    return hidden @ rounded(p["out"], MATRIX_UNIT) + p["out_bias"]


def _layer(hidden: jax.Array, step: int, matrix: jax.Array, bias: jax.Array) -> jax.Array:
    n = len(hidden)
    wide = jnp.pad(hidden, ((step, step), (0, 0)))
    around = jnp.concatenate([wide[k * step : k * step + n] for k in range(3)], axis=1)
    flat = rounded(matrix, MATRIX_UNIT).reshape(-1, matrix.shape[2])
    return state(around @ flat + bias + hidden)


def loss(p: Parameters, batch: Batch, key: jax.Array) -> jax.Array:
    """The mean cross-entropy of the labelled tokens."""
    scores = strengths(p, batch, key)
    each = optax.softmax_cross_entropy_with_integer_labels(scores, jnp.maximum(batch.labels, 0))
    counted = batch.labels >= 0
    return (each * counted).sum() / jnp.maximum(counted.sum(), 1)

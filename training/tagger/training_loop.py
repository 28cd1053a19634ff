"""The training itself: batches of a fixed number of tokens, Adam, the same result for the same seed."""

import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
import optax
from numpy.typing import NDArray

from pipeline.redact.tagger.features import GRAMS, WHOLE_SLOT, Words, describe
from pipeline.redact.tagger.gazetteer import LISTS, Gazetteer
from training.tagger import network
from training.tagger.network import Batch, Parameters
from training.tagger.samples import TokenSet

BATCH_TOKENS = 8192
TYPE_STEP = 3072
GRAM_STEP = 49_152
"""Batches hold a multiple of so many word types and rows of spellings: few shapes to compile for."""
STRANGERS = 0.25
"""Of a batch's word types, those read as if never seen: in no list, without a row of the whole word and
without half of their other spellings. Names that no pool holds look like this at run time."""


class Schedule(NamedTuple):
    """How long and how fast."""

    epochs: float
    rate: float = 4e-3
    d: int = 64
    w: int = 64


class TypeTable:
    """The features of every word type of a token set."""

    def __init__(self, types: list[str], vocabulary: tuple[str, ...], gazetteer: Gazetteer) -> None:
        words: Words = describe(types)
        self.rows = {word: row for row, word in enumerate(vocabulary)}
        self.grams = words.grams
        self.shapes = words.shapes
        self.words = np.array([self.rows.get(key, len(self.rows)) for key in words.keys], np.int32)
        bits = gazetteer.bits(words.keys)[:, None]
        self.flags = (bits >> np.arange(len(LISTS), dtype=np.uint16) & 1).astype(np.float32)

    def batch(
        self, ids: NDArray[np.int32], labels: NDArray[np.int8], chance: np.random.Generator | None = None
    ) -> Batch:
        """The tokens and their types, the boundary's first; some are strangers if there is a chance."""
        kinds, places = np.unique(np.append(ids, 0), return_inverse=True)
        size = -(-len(kinds) // TYPE_STEP) * TYPE_STEP
        kinds = np.pad(kinds, (0, size - len(kinds)))
        grams, flags, words = self.grams[kinds], self.flags[kinds], self.words[kinds]
        if chance is not None:
            strange = chance.random(size) < STRANGERS
            lost = strange[:, None] & (chance.random(grams.shape) < 0.5)
            lost[:, WHOLE_SLOT] |= strange
            grams = np.where(lost, GRAMS, grams)
            flags = np.where(strange[:, None], 0, flags)
            words = np.where(strange & (chance.random(size) < 0.5), len(self.rows), words)
        filled = np.maximum((grams != GRAMS).sum(axis=1), 1)
        owners, slots = np.nonzero(grams != GRAMS)
        padding = -len(owners) % GRAM_STEP
        return Batch(
            ids=places[:-1].astype(np.int32),
            labels=labels.astype(np.int32),
            grams=np.pad(grams[owners, slots], (0, padding)),
            owners=np.pad(owners, (0, padding), constant_values=size).astype(np.int32),
            filled=(1 / np.sqrt(filled)).astype(np.float32),
            words=words.astype(np.int32),
            shapes=self.shapes[kinds],
            flags=flags.astype(np.float32),
        )


def train(
    tokens: TokenSet, vocabulary: tuple[str, ...], gazetteer: Gazetteer, schedule: Schedule, seed: int
) -> Parameters:
    """The parameters after the schedule."""
    table = TypeTable(tokens.types, vocabulary, gazetteer)
    steps = math.ceil(schedule.epochs * len(tokens.ids) / BATCH_TOKENS)
    rate = optax.warmup_cosine_decay_schedule(0, schedule.rate, steps // 20 + 1, steps, schedule.rate / 50)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, b2=0.98, weight_decay=1e-4))
    parameters = network.fresh(len(vocabulary), schedule.d, schedule.w, seed)
    memory = optimizer.init(parameters)

    @jax.jit
    def step(
        p: Parameters, memory: optax.OptState, batch: Batch, key: jax.Array
    ) -> tuple[Parameters, optax.OptState, jax.Array]:
        value, gradient = jax.value_and_grad(network.loss)(p, batch, key)
        change, memory = optimizer.update(gradient, memory, p)
        return optax.apply_updates(p, change), memory, value

    strangers = np.random.default_rng(seed + 2)
    key = jax.random.key(seed + 1, impl="rbg")
    began, mean = time.monotonic(), 0.0
    for number, (ids, labels) in zip(range(steps), _stream(tokens, seed), strict=False):
        key, now = jax.random.split(key)
        parameters, memory, value = step(parameters, memory, table.batch(ids, labels, strangers), now)
        mean = 0.98 * mean + 0.02 * float(value) if number else float(value)
        if number % 200 == 0:
            print(
                f"step {number:,} of {steps:,}, loss {mean:.4f}, {time.monotonic() - began:.0f} s", flush=True
            )
    return parameters


def _stream(tokens: TokenSet, seed: int) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int8]]]:
    """Samples in a new order every epoch, cut into batches."""
    chance = np.random.default_rng(seed)
    sizes = np.diff(tokens.starts)
    while True:
        order = chance.permutation(len(sizes))
        ends = np.cumsum(sizes[order])
        places = np.arange(ends[-1]) - np.repeat(ends - sizes[order], sizes[order])
        places += np.repeat(tokens.starts[:-1][order], sizes[order])
        for start in range(0, len(places) - BATCH_TOKENS + 1, BATCH_TOKENS):
            at = places[start : start + BATCH_TOKENS]
            yield tokens.ids[at], tokens.labels[at]

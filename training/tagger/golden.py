"""The golden of the arithmetic: what JAX and NumPy make of fixed numbers.

`python -m training.tagger.golden` writes it. The numbers and lists are made by a formula, not trained: the
golden changes only where features, rounding or layers change. The test suite reads it without JAX.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.redact.tagger.features import GRAMS, SHAPES
from pipeline.redact.tagger.gazetteer import LISTS, Gazetteer
from pipeline.redact.tagger.model import Model
from pipeline.redact.tagger.tokens import pack
from pipeline.redact.tagger.weights import MATRIX_UNIT, STATE_UNIT, TABLE_UNIT, TAGS
from training.tagger.export import exported
from training.tagger.samples import Sample, TokenSet, token_set

PATH = Path(__file__).parents[2] / "tests" / "redact" / "golden" / "tagger.json"
TEXTS = (
    "Signed, Rosa Delgado of Lisbon",
    '{"name": "Piet Jansen", "total": 1250}',
    "AYŞE YILMAZ'IN SİPARİŞİ, 12 Łąkowa St\\n",
    "山田 太郎 wrote\t3.50 EUR",
    "a",
)
VOCABULARY = ("total", "name", "of", " ")
GAZETTEER = {"first_name": ["rosa", "ayse"], "last_name": ["yilmaz", "delgado"], "city": ["lisbon"]}
WIDTH = 64


def parameters() -> dict[str, NDArray[np.float32]]:
    """Parameters by the names of `network.fresh`; none lies near the middle between two whole numbers."""
    t, w = len(TAGS), WIDTH
    shapes = {
        "grams": ((GRAMS, w), 40, TABLE_UNIT),
        "words": ((len(VOCABULARY) + 1, w), 60, TABLE_UNIT),
        "shapes": ((SHAPES, w), 30, TABLE_UNIT),
        "lists": ((len(LISTS), w), 50, TABLE_UNIT),
        "window": ((5, w, w), 9, MATRIX_UNIT),
        "near": ((3, w, w), 7, MATRIX_UNIT),
        "far": ((3, w, w), 7, MATRIX_UNIT),
        "out": ((w, t), 60, MATRIX_UNIT),
        "word_bias": ((w,), 900, TABLE_UNIT * MATRIX_UNIT),
        "window_bias": ((w,), 900, STATE_UNIT * MATRIX_UNIT),
        "near_bias": ((w,), 900, STATE_UNIT * MATRIX_UNIT),
        "far_bias": ((w,), 900, STATE_UNIT * MATRIX_UNIT),
        "out_bias": ((t,), 900, STATE_UNIT * MATRIX_UNIT),
    }
    return {name: _numbers(number, *of) for number, (name, of) in enumerate(shapes.items())}


def _numbers(salt: int, shape: tuple[int, ...], most: int, unit: int) -> NDArray[np.float32]:
    """Numbers from -most to most in 1/unit, each beside a whole number of units."""
    mixed = (np.arange(np.prod(shape), dtype=np.uint32) + np.uint32(salt << 24)) * np.uint32(2654435761)
    mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    mixed ^= mixed >> np.uint32(12)
    whole = (mixed % np.uint32(2 * most + 1)).astype(np.float64) - most
    beside = (mixed >> np.uint32(20)) % 5 / 10 - 0.2
    return ((whole + beside) / unit).astype(np.float32).reshape(shape)


def run_time(numbers: Mapping[str, NDArray[np.float32]]) -> NDArray[np.int32]:
    """(tokens, tags): what the run time computes of the texts, boundaries left out."""
    model = Model(exported(numbers, VOCABULARY), Gazetteer.of(GAZETTEER))
    return model.read(pack(list(TEXTS)))[3:][_words()]


def trained(numbers: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """(tokens, tags): what the model of the training computes, in the run time's unit."""
    import jax.numpy as jnp

    from training.tagger.network import strengths
    from training.tagger.training_loop import TypeTable

    tokens = _tokens()
    batch = TypeTable(tokens.types, VOCABULARY, Gazetteer.of(GAZETTEER)).batch(tokens.ids, tokens.labels)
    made = strengths({name: jnp.asarray(values) for name, values in numbers.items()}, batch, None)
    return np.asarray(made)[: len(tokens.ids)][_words()] * (STATE_UNIT * MATRIX_UNIT)


def _tokens() -> TokenSet:
    return token_set(Sample(text, [], [], "golden") for text in TEXTS)


def _words() -> NDArray[np.bool_]:
    return _tokens().ids != 0


def main() -> None:
    """Write the golden."""
    numbers = parameters()
    lines = {
        "run_time": [row.tolist() for row in run_time(numbers)],
        "trained": [[round(float(value)) for value in row] for row in trained(numbers)],
    }
    rows = ",\n".join(
        f'"{name}": [\n' + ",\n".join(map(json.dumps, found)) + "\n]" for name, found in lines.items()
    )
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(f"{{\n{rows}\n}}\n")


if __name__ == "__main__":
    main()

"""What was trained, in the whole numbers of the run time."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.redact.tagger.weights import MATRIX_UNIT, STATE_UNIT, TABLE_UNIT, Weights

INT8 = 127


def exported(p: Mapping[str, ArrayLike], vocabulary: tuple[str, ...]) -> Weights:
    """As the run time holds them."""

    def int8(name: str, unit: int) -> NDArray[np.int8]:
        return np.clip(np.rint(np.asarray(p[name]) * unit), -INT8, INT8).astype(np.int8)

    grams = int8("grams", TABLE_UNIT)
    layers = [np.asarray(p[name]) for name in ("window_bias", "near_bias", "far_bias", "out_bias")]
    biases = [
        np.asarray(p["word_bias"]) * TABLE_UNIT * MATRIX_UNIT,
        *(b * STATE_UNIT * MATRIX_UNIT for b in layers),
    ]
    return Weights(
        vocabulary=vocabulary,
        grams=np.concatenate([grams, np.zeros((1, grams.shape[1]), np.int8)]),
        words=int8("words", TABLE_UNIT),
        shapes=int8("shapes", TABLE_UNIT),
        lists=int8("lists", TABLE_UNIT),
        window=int8("window", MATRIX_UNIT),
        near=int8("near", MATRIX_UNIT),
        far=int8("far", MATRIX_UNIT),
        out=int8("out", MATRIX_UNIT),
        biases=np.rint(np.concatenate(biases)).astype(np.int32),
    )

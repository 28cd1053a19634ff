"""How the tagger learns: labels of tokens, words that get rows, and JAX and NumPy giving the same."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks.page import FIGURES, filled, tagger_figures
from benchmarks.report import ROOT
from pipeline.redact.tagger.gazetteer import LISTS
from pipeline.redact.tagger.tokens import tokenize
from pipeline.redact.tagger.weights import MATRIX_UNIT, STATE_UNIT, TAGS
from training.tagger import golden
from training.tagger.samples import IGNORED, Sample, labels_of, token_set, with_other_cases
from training.tagger.words import gazetteer_of, vocabulary_of

TEXTS = [
    "Signed, Rosa Delgado of Lisbon",
    '{"name": "Piet Jansen", "total": 1250}',
    "the total of the order is 1250 and the order is paid",
    "ship to 12 Elm Street, Austin",
]
SAMPLES = [Sample(text, [], [], "test") for text in TEXTS]


def test_a_token_has_the_label_of_the_span_it_begins_in() -> None:
    text = "Dear Rosa Delgado, of Oslo (maybe)"
    sample = Sample(text, [(5, 17, "PERSON"), (22, 26, "PLACE")], [(28, 33)], "test")
    tokens = tokenize(text)
    labels = dict(zip(tokens, labels_of(tokens, sample), strict=True))
    person, place = TAGS.index("PERSON"), TAGS.index("PLACE")
    assert labels == {
        "Dear": 0,
        " Rosa": person,
        " Delgado": person,
        ",": 0,
        " of": 0,
        " Oslo": place,
        " (": 0,
        "maybe": IGNORED,
        ")": 0,
    }


def test_numbers_of_equal_length_are_one_type() -> None:
    tokens = token_set(iter(SAMPLES))
    assert " 0000" in tokens.types
    assert " 1250" not in tokens.types
    assert len(tokens.ids) == len(tokens.labels) == tokens.starts[-1]


def test_other_cases_keep_the_labels() -> None:
    samples = [Sample("Signed, Rosa Delgado", [(8, 20, "PERSON")], [], "test")] * 200
    made = list(with_other_cases(iter(samples), seed=0))
    assert {sample.text for sample in made} >= {
        "Signed, Rosa Delgado",
        "signed, rosa delgado",
        "SIGNED, ROSA DELGADO",
    }
    assert all(sample.spans == [(8, 20, "PERSON")] for sample in made)
    assert made == list(with_other_cases(iter(samples), seed=0))


def test_names_have_no_rows_and_lists_hold_folded_words() -> None:
    named = [s._replace(text="we saw Rosa here", spans=[(7, 11, "PERSON")]) for s in SAMPLES[:1] * 20]
    tokens = token_set(iter(named))
    vocabulary = vocabulary_of(tokens)
    assert "here" in vocabulary
    assert "rosa" not in vocabulary
    gazetteer = gazetteer_of(lambda kind: ["José María"] if kind == "first_name" else [], tokens)
    first, common = 1 << LISTS.index("first_name"), 1 << LISTS.index("common_word")
    assert gazetteer.bits(["jose", "maria", "here", "piet"]).tolist() == [first, first, common, 0]


def test_the_run_time_computes_the_golden_to_the_last_digit() -> None:
    """Made with JAX beside it: features, roundings and layers are those that training has."""
    expected = json.loads(golden.PATH.read_text())
    found = golden.run_time(golden.parameters())
    assert found.tolist() == expected["run_time"]
    trained = np.array(expected["trained"])
    # Parts of the first layer are kept rounded at run time: a state may differ by one in the last place.
    assert np.abs(found - trained).max() < STATE_UNIT * MATRIX_UNIT
    assert np.array_equal(found.argmax(axis=1), trained.argmax(axis=1))


@pytest.mark.skipif(find_spec("jax") is None, reason="jax is in the extra `train`")
def test_the_trained_model_computes_the_golden() -> None:
    expected = np.array(json.loads(golden.PATH.read_text())["trained"])
    assert np.abs(golden.trained(golden.parameters()) - expected).max() < 2


def test_the_model_card_has_the_figures_of_the_shipped_weights() -> None:
    card = (ROOT / "docs" / "tagger.md").read_text()
    assert filled(card, tagger_figures(json.loads(FIGURES.read_text()))) == card

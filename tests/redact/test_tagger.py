"""The tagger at run time: names in all the forms text comes in, and the same result however it is called."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from presidio_analyzer import RecognizerRegistry

from pipeline.redact.config import RedactionConfig
from pipeline.redact.spans import Span
from pipeline.redact.tagger import model as model_module
from pipeline.redact.tagger.decode import decode
from pipeline.redact.tagger.features import describe
from pipeline.redact.tagger.gazetteer import Gazetteer
from pipeline.redact.tagger.model import Model
from pipeline.redact.tagger.recognizer import TaggerRecognizer
from pipeline.redact.tagger.tagger import FOLDER, Tagger
from pipeline.redact.tagger.tokens import MAX_LETTERS, pack, tokenize
from pipeline.redact.tagger.weights import MAX_STATE, TAGS, Weights

WEIGHTS = Weights.load(FOLDER / "weights.npz")
LISTS = Gazetteer.load(FOLDER / "gazetteer.npz")
TAGGER = Tagger(RedactionConfig())

PIECES = [
    "Maria",
    " ",
    "Kowalska",
    "lives",
    "at",
    "12 Elm Street",
    "\n",
    "\0",
    '{"name": "',
    "José",
    "_",
    "'",
    "山田",
    "ß",
]
TEXTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))


def found(text: str) -> set[tuple[str, str]]:
    return {(text[s.start : s.end], s.entity) for s in TAGGER.find([text])[text]}


@given(st.text(max_size=200))
def test_tokens_cover_the_text(text: str) -> None:
    tokens = tokenize(text)
    assert "".join(tokens) == text
    assert all(len(token) <= MAX_LETTERS + 1 for token in tokens)


@pytest.mark.parametrize(
    "forms", [["Işık", "IŞIK", "Isik", "ISIK"], ["Łukasz", "ŁUKASZ", "Lukasz"], ["José", "JOSÉ", "jose"]]
)
def test_a_name_is_spelled_the_same_with_and_without_accents_and_capitals(forms: list[str]) -> None:
    words = describe(forms)
    assert len(set(words.keys)) == 1
    assert (words.grams == words.grams[0]).all()


@pytest.mark.parametrize(
    ("tokens", "count"), [(["Avenue"], 0), (["Fifth", " Avenue"], 1), (["Avenue", " ", "12"], 1)]
)
def test_one_word_alone_is_no_address(tokens: list[str], count: int) -> None:
    strengths = np.zeros((len(tokens), len(TAGS)), np.int32)
    strengths[:, TAGS.index("ADDRESS")] = 9000
    assert len(list(decode(tokens, strengths))) == count


@settings(deadline=None, max_examples=40)
@given(st.lists(TEXTS, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_a_text_has_the_same_strengths_alone_and_among_others(texts: list[str], order) -> None:
    known = Model(WEIGHTS, LISTS)
    known.read(pack([texts[-1], "another text was read before"]))
    together = {text: _strengths(known, texts, at) for at, text in enumerate(texts)}
    order.shuffle(texts)
    fresh = Model(WEIGHTS, LISTS)
    for text in texts:
        assert np.array_equal(_strengths(fresh, [text], 0), together[text])


def _strengths(model: Model, texts: list[str], at: int) -> np.ndarray:
    tokens = pack(texts)
    sizes = [len(tokenize(text.replace("\0", "\1"))) + 3 for text in texts]
    start = 3 + sum(sizes[:at])
    return model.read(tokens)[start : start + sizes[at] - 3]


def test_forgetting_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = pack([f"Anna Berg{n} wrote to Piet from Utrecht about word{n}" for n in range(60)])
    whole = Model(WEIGHTS, LISTS).read(tokens)
    monkeypatch.setattr(model_module, "BLOCK_TOKENS", 130)
    monkeypatch.setattr(model_module, "CHUNK_TOKENS", 50)
    monkeypatch.setattr(model_module, "MAX_TYPES", 80)
    assert np.array_equal(Model(WEIGHTS, LISTS).read(tokens), whole)


def test_every_sum_is_exact_in_float32() -> None:
    """Whole numbers below 2**24: the largest that these weights can reach."""

    def worst(matrix: np.ndarray) -> int:
        return (
            int(np.abs(matrix.astype(np.int64)).reshape(-1, matrix.shape[-1]).sum(axis=0).max()) * MAX_STATE
        )

    slack = int(np.abs(WEIGHTS.biases).max()) + 64 * MAX_STATE
    for matrix in (WEIGHTS.near, WEIGHTS.far, WEIGHTS.out):
        assert worst(matrix) + slack < 1 << 24
    assert max(worst(WEIGHTS.window[k]) for k in range(5)) < 1 << 24


@given(st.lists(TEXTS, max_size=6))
@settings(deadline=None, max_examples=25)
def test_what_is_remembered_changes_nothing(texts: list[str]) -> None:
    forgetful = Tagger(RedactionConfig(memo_bytes=0))
    assert TAGGER.find(texts) == forgetful.find(texts) == {t: forgetful.find([t])[t] for t in texts}


@given(TEXTS)
@settings(deadline=None)
def test_spans_lie_within_the_text_and_on_words(text: str) -> None:
    for start, end, *_ in TAGGER.find([text])[text]:
        assert 0 <= start < end <= len(text)
        assert text[start:end].strip() == text[start:end]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Please tell Henrietta Blomqvist that her parcel is here.", ["Henrietta Blomqvist"]),
        ("please tell henrietta blomqvist that her parcel is here", ["henrietta blomqvist"]),
        ("CUSTOMER: HENRIETTA BLOMQVIST", ["HENRIETTA BLOMQVIST"]),
        ('{"id": 7, "first_name": "Tomasz", "last_name": "Wiśniewski"}', ["Tomasz", "Wiśniewski"]),
        ("INSERT INTO guests (id, name) VALUES (4, 'Rosa Delgado');", ["Rosa Delgado"]),
        ("guest(first='Rosa', last='Delgado', nights=2)", ["Rosa", "Delgado"]),
        ("id,name,nights\n4,Rosa Delgado,2\n5,Emeka Obi,1", ["Rosa Delgado", "Emeka Obi"]),
        ("2026-01-05 10:00:00 INFO check-in done user=Rosa Delgado room=12", ["Rosa Delgado"]),
    ],
)
def test_people_are_found_in_every_form(text: str, names: list[str]) -> None:
    assert {text for text, entity in found(text) if entity == "PERSON"} == set(names)


@pytest.mark.parametrize(
    "address",
    ["18 Willow Lane, Austin, TX 78701", "Lindenstraße 24, 50674 Köln", "12 rue de la Paix, 75002 Paris"],
)
def test_addresses_are_found_whole(address: str) -> None:
    assert found(f"Send it to {address} please.") == {(address, "STREET_ADDRESS")}


@pytest.mark.parametrize(
    "text",
    [
        "The order was cancelled on Friday and refunded in May.",
        "get_order_status(order_id='A1B2C3', include_items=True)",
        '{"status": "delivered", "cabin": "economy", "insurance": "no", "created_at": "2026-05-01T10:00:00"}',
        "Error: Payment Method Not Found",
        "I can help you search flights, book hotels and cancel reservations.",
        "HAT123",
    ],
)
def test_ordinary_text_has_no_names(text: str) -> None:
    assert not found(text)


def test_only_what_is_asked_for() -> None:
    text = "Rosa Delgado flew from Lisbon to Oslo."
    people = Tagger(RedactionConfig(entities=("PERSON",))).find([text])[text]
    assert {span.entity for span in people} == {"PERSON"}
    assert Tagger(RedactionConfig(entities=("CREDIT_CARD",))).find([text])[text] == []


def test_long_texts_are_read_by_line_with_the_right_offsets() -> None:
    line = "Nothing to see in this line of the log.\n"
    text = line * 60 + "Signed, Rosa Delgado\n" + line * 60
    spans = TAGGER.find([text])[text]
    assert [text[s.start : s.end] for s in spans] == ["Rosa Delgado"]


def test_it_is_a_presidio_recognizer() -> None:
    recognizer = TaggerRecognizer(RedactionConfig())
    registry = RecognizerRegistry()
    registry.add_recognizer(recognizer)
    text = "Signed, Rosa Delgado"
    (result,) = recognizer.analyze(text, ["PERSON"])
    span = Span(result.start, result.end, result.entity_type, result.score, recognizer.name)
    assert [span] == recognizer.find([text])[text]
    assert recognizer.analyze(text, ["LOCATION"]) == []
    assert recognizer in registry.get_recognizers("en", all_fields=True)


def test_the_run_time_needs_numpy_alone() -> None:
    code = (
        "import sys; from pipeline.redact.config import RedactionConfig; "
        "from pipeline.redact.tagger.tagger import Tagger; "
        "assert Tagger(RedactionConfig()).find(['Signed, Rosa Delgado']); "
        "print(sorted({'presidio_analyzer', 'spacy', 'polars', 'jax', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in Path(FOLDER).glob("*.npz")) < 4_000_000


@pytest.mark.parametrize("family", [".", "@", "a", "7", '["', "字", "aZ9 ", "Ünï"])
def test_time_grows_with_length_alone(family: str) -> None:
    def seconds_per_char(size: int) -> float:
        text = (family * size)[:size]
        tagger = Tagger(RedactionConfig(memo_bytes=0))
        tagger.find(["warm up"])
        began = time.process_time()
        tagger.find([text])
        return (time.process_time() - began) / size

    assert seconds_per_char(200_000) < 3 * max(seconds_per_char(10_000), 2e-7)


def test_novel_words_cost_little(random_words: list[str]) -> None:
    tagger = Tagger(RedactionConfig(memo_bytes=0))
    tagger.find(["warm up"])
    text = "\n".join(" ".join(random_words[i : i + 100]) for i in range(0, len(random_words), 100))
    began = time.process_time()
    tagger.find([text])
    assert len(text) / (time.process_time() - began) > 100_000


@pytest.fixture
def random_words() -> list[str]:
    chance = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    return ["".join(chance.choice(letters, chance.integers(3, 10))) for _ in range(8000)]

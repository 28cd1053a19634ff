"""The training corpus: valid, reproducible, and without the values that the evaluation is made of."""

import json
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from training.corpus import form_templates, forms
from training.corpus.pools import held_out_values, locales, pool
from training.corpus.readings import Span
from training.corpus.samples import Sample, chunk, held_out_in, sample
from training.corpus.scene import Scene, slot_kinds
from training.corpus.silver import agreed
from training.corpus.split import folded
from training.corpus.swaps import swapped
from training.corpus.template import joined, names, slots, templates

LABELS = {"PERSON", "ADDRESS", "PLACE", "NRP", "ORG"}
COUNT = 900
ROOT = Path(__file__).parents[2]


@cache
def some_samples() -> tuple[Sample, ...]:
    return tuple(sample(3, number) for number in range(COUNT))


def test_spans_lie_on_their_texts() -> None:
    for one in some_samples():
        ranges = sorted([(start, end) for start, end, _ in one.spans] + one.ignore)
        assert all(0 <= start < end <= len(one.text) for start, end in ranges)
        assert all(before[1] <= after[0] for before, after in pairwise(ranges)), one
        assert {label for _, _, label in one.spans} <= LABELS
        values = [one.text[start:end] for start, end, _ in one.spans]
        assert all(any(char.isalnum() for char in value) for value in values), values


def test_every_source_and_label_occurs_and_many_texts_hold_nothing() -> None:
    found = some_samples()
    sources = Counter(one.source for one in found)
    assert {"structured", "leaf", "dialogue", *names()} <= set(sources)
    assert {label for one in found for _, _, label in one.spans} == LABELS
    without = sum(not one.spans for one in found)
    assert 0.25 < without / COUNT < 0.6


def test_held_out_values_occur_in_no_label() -> None:
    for one in some_samples():
        labelled = (one.text[start:end] for start, end, label in one.spans if label != "ORG")
        assert not held_out_in(labelled), one.text


@pytest.mark.parametrize("kind", ["first_name", "last_name", "city", "organization"])
def test_one_value_in_eight_is_held_out(kind: str) -> None:
    train, held_out = set(pool(kind)), set(pool(kind, None, "held_out"))
    assert not {folded(value) for value in train} & {folded(value) for value in held_out}
    assert 0.06 < len(held_out) / (len(train) + len(held_out)) < 0.16


def test_names_of_many_locales_and_scripts() -> None:
    assert len(locales()) >= 80
    for locale in ("ru_RU", "el_GR", "ar_AA", "he_IL", "zh_CN", "ja_JP", "ko_KR", "hi_IN", "th_TH"):
        assert not any(value.isascii() for value in pool("last_name", locale))
    for locale in ("zh_CN@latin", "ja_JP@latin", "ko_KR@latin", "ru_RU@latin", "ar_AA@latin"):
        assert all(value[0].isascii() for value in pool("last_name", locale))


def test_a_sample_depends_on_seed_and_number_alone() -> None:
    assert sample(3, 40) == some_samples()[40]
    assert sample(4, 40) != some_samples()[40]


def test_the_same_in_another_process_with_other_hashes() -> None:
    program = "from training.corpus.samples import sample; print([sample(3, at) for at in range(60)])"
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert made.stdout.strip() == str([sample(3, at) for at in range(60)])


@pytest.mark.long
def test_the_command_writes_both_files_whatever_the_processes(tmp_path: Path) -> None:
    arguments = ["--seed", "3", "--samples", "900", "--no-silver", "--processes", "2"]
    command = [sys.executable, "-m", "training.corpus", "--out", str(tmp_path), *arguments]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == [one.text for one in some_samples()]
    assert set(rows[0]) == {"text", "spans", "ignore", "source"}
    assert (tmp_path / "dev.jsonl").read_text()


def _every_template() -> list[str]:
    return [one for name in names() for half in ("train", "held_out") for one in templates(name, half)]


@pytest.mark.parametrize("name", ["blocks", "credits", "groups", "people", "prose", "regional", "work"])
def test_some_templates_are_held_out(name: str) -> None:
    train, held_out = templates(name), templates(name, "held_out")
    assert not set(train) & set(held_out)
    assert 0.01 < len(held_out) / (len(train) + len(held_out)) < 0.12


def test_held_out_samples_hold_held_out_people() -> None:
    made = chunk(3, 0, 300, "held_out")
    people = [one.text[a:b] for one in made for a, b, label in one.spans if label == "PERSON"]
    assert sum(held_out_in([name]) for name in people) > 0.8 * len(people)


@pytest.mark.parametrize("text", ["The user said that you must send me the file.", "he sold my boat to them"])
def test_names_are_put_in_place_of_words_for_people(text: str) -> None:
    for seed in range(20):
        rng = Random(seed)
        changed, spans, _ = joined(swapped(rng, text, Scene(rng)))
        assert spans
        for start, end, label in spans:
            assert label in {"PERSON", "NRP"}
            assert changed[start:end] not in text


def test_templates_ask_for_slots_that_exist() -> None:
    own = (value for value in vars(form_templates).values() if isinstance(value, tuple))
    every = _every_template()
    every += [line for group in own for line in group]
    assert len(every) > 1800
    unknown = {kind for template in every for kind in slots(template)} - slot_kinds()
    assert not unknown


def test_forms_hold_held_out_values_only() -> None:
    for form in forms.FORMS:
        for locale in (*forms.LOCALES, *forms.NATIVE_LOCALES):
            for text, spans in forms.texts(form, locale, 4):
                people = [text[start:end] for start, end, kind in spans if kind == "PERSON"]
                assert all(held_out_in([name]) for name in people if locale not in ("ja_JP", "zh_CN")), people


def test_forms_share_no_template_with_training() -> None:
    training = set(_every_template())
    for group in (*(forms.TEMPLATES.values()), *form_templates.LOCAL_PROSE.values()):
        assert not training & set(group)


def test_forms_cover_every_form_and_locale() -> None:
    for form in forms.FORMS:
        for locale in forms.LOCALES:
            found = list(forms.texts(form, locale, 12))
            assert any(kind == "PERSON" for _, spans in found for _, _, kind in spans)
            assert found == list(forms.texts(form, locale, 12))


TEXT = "Ask Harald Nordgren about Kafka in Berlin."
PERSON: Span = (4, 19, "PERSON")
PLACE: Span = (35, 41, "GPE")


def test_silver_labels_need_both_readings_and_the_pools() -> None:
    spans, _ = agreed(TEXT, [PERSON, PLACE], [PERSON, PLACE], frozenset())
    assert spans == [(4, 19, "PERSON"), (35, 41, "PLACE")]


def test_what_one_reading_says_is_ignored() -> None:
    spans, ignore = agreed(TEXT, [PERSON], [], frozenset())
    assert not spans
    assert (4, 19) in ignore
    assert (35, 41) in ignore


def test_an_ordinary_word_is_no_person_for_silver() -> None:
    spans, _ = agreed(
        "Rich Console prints.", [(0, 12, "PERSON")], [(0, 12, "PERSON")], frozenset({"console"})
    )
    assert not spans


def test_held_out_values_are_found_in_longer_ones() -> None:
    value = min(
        value for value in held_out_values() if value.isalpha() and value.isascii() and len(value) > 4
    )
    assert held_out_in([f"Ms. {value.upper()}, Jr."])
    assert held_out_in([f"a_{value}"])
    assert not held_out_in([f"x{value}"])

"""Real text labelled by hand: what is committed is whole, and what the figures count is what they say."""

import json
import re

import pytest
from support.traces import needs_shared

from benchmarks.hostile import FAMILIES
from benchmarks.labelled import FOLDER, SETS, Judged, Label, judge, package_text, read_labels
from benchmarks.real_text import PERSONAL, is_prose, real_score
from benchmarks.redactors import fresh
from benchmarks.scoring import Removed, Sentence, removed, score_types

KINDS = {*PERSONAL, "ORG", "NEUTRAL"}


def _label(*spans: tuple[int, int, str], sample: str = "random") -> Label:
    return Label("0" * 64, "taubench", None, "user", sample, list(spans))


def test_labels_are_hashes_and_ranges_never_text() -> None:
    lines = [line for name in SETS for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()]
    rows = [json.loads(line) for line in lines]
    for row in rows:
        assert row.keys() - {"at"} == {"sha256", "source", "origin", "sample", "spans"}
        assert re.fullmatch(r"[0-9a-f]{64}", row["sha256"])
        ends = [0]
        for start, end, kind in row["spans"]:
            assert ends[-1] <= start < end, row
            assert kind in KINDS
            ends.append(end)
    assert len({row["sha256"] for row in rows}) == len(rows)


def test_the_samples_are_as_large_as_promised() -> None:
    labels = {name: read_labels(name) for name in SETS}
    assert len(labels["taubench"]) >= 400
    assert len(labels["packages"]) >= 200
    persons = [s for found in labels.values() for label in found for s in label.spans if s[2] == "PERSON"]
    assert len(persons) >= 150


def test_the_labelled_strings_of_installed_packages_are_found() -> None:
    labels = read_labels("packages")
    missing = sorted({label.source for label in labels if package_text(label) is None})
    # A package of another version is no fault of the labels; that most are gone is.
    assert len(missing) * 10 <= len(labels), missing


@pytest.mark.shared
@needs_shared
def test_the_labelled_strings_of_the_traces_are_found_where_they_stand() -> None:
    labels = read_labels("taubench", 30)
    found = judge("taubench", labels, fresh("off"))
    assert {one.label.sha256 for one in found} == {label.sha256 for label in labels}
    for one in found:
        assert all(end <= len(one.text) for _, end, _ in one.label.spans)


def test_a_false_redaction_is_one_of_what_no_label_calls_personal() -> None:
    text = "Ann Lee of Acme sent order 12 to Oslo"
    spans = (0, 7, "PERSON"), (11, 15, "ORG"), (33, 37, "PLACE")
    right = [Removed(0, 7, "PERSON"), Removed(33, 37, "LOCATION")]
    of_organization = [*right, Removed(11, 15, "PERSON")]
    of_nothing = [*right, Removed(27, 29, "PHONE_NUMBER")]
    judged = [Judged(_label(*spans), text, ours, []) for ours in (right, of_organization, of_nothing)]
    judged = [one._replace(label=one.label._replace(sha256=str(i))) for i, one in enumerate(judged)]
    found = real_score(judged)
    assert found.recall["PERSON"] == found.recall["PLACE"] == 1
    assert found.person_precision == 3 / 4
    assert found.false_leaf_share == 2 / 3
    assert found.false_leaf_share_without_organizations == 1 / 3
    assert [(f.text, f.of) for f in found.false] == [("Acme", "ORG"), ("12", "other")]
    assert real_score(judged, stock=True).recall["PERSON"] == 0


def test_shares_of_false_redactions_are_of_what_was_drawn_at_random() -> None:
    extra = Judged(_label(sample="persons"), "nothing here", [Removed(0, 7, "PERSON")], [])
    fine = Judged(_label(), "nothing here either", [], [])
    found = real_score([extra, fine])
    assert found.false_leaf_share == 0
    assert found.person_precision == 0
    assert found.person_precision_random is None


def test_names_in_ids_and_neutral_text_count_neither_for_nor_against() -> None:
    text = "user ann_lee_12 (@annlee)"
    label = _label((5, 12, "NAME_IN_ID"), (12, 15, "NEUTRAL"), (18, 24, "NEUTRAL"))
    found = real_score([Judged(label, text, [Removed(5, 15, "PERSON"), Removed(18, 24, "PERSON")], [])])
    assert found.person_precision is None
    assert found.false_leaf_share == 0


def test_prose_is_told_from_code_and_values() -> None:
    assert is_prose("Could you please tell me when my order will arrive?")
    assert not is_prose("def find(self, texts): return {t: [] for t in texts}")
    assert not is_prose("HAT123 - $102 - 06:00 EST")


def test_types_are_told_apart_at_half_of_a_value() -> None:
    sentence = Sentence("Ann Lee, Oslo, Acme", [(0, 7, "PERSON"), (9, 13, "GPE"), (15, 19, "ORGANIZATION")])
    found = [Removed(0, 7, "PERSON"), Removed(9, 13, "PERSON"), Removed(15, 19, "PERSON")]
    scores = score_types([sentence], [found])
    assert scores["PERSON"][:3] == (1, 0.5, 1.0)
    assert scores["places and addresses"].recall == 0


def test_every_operator_that_leaves_a_token_lines_up_with_its_text() -> None:
    text = "a Ann b Ann c"
    redacted = "a <PERSON:k1.3f9a2c7100d4e8b2> b <PERSON:k1.3f9a2c7100d4e8b2> c"
    assert removed(text, redacted) == [(2, 5, "PERSON"), (8, 11, "PERSON")]
    with pytest.raises(ValueError, match="line up"):
        removed(text, "another text")


def test_forms_count_persons_by_form_and_locale() -> None:
    from benchmarks.name_forms import Framed, framed, score_forms
    from training.corpus.forms import FORMS

    texts = framed(1, ("de_DE",))
    assert texts == framed(1, ("de_DE",))
    assert {one.form for one in texts} == set(FORMS)
    two = Sentence("Ann, Oslo, Acme", [(0, 3, "PERSON"), (5, 9, "PLACE"), (11, 15, "ORG")])
    of = [Framed("csv", "de_DE", two), Framed("json", "ru_RU", two)]
    found = score_forms(of, [[Removed(0, 3, "PERSON"), Removed(11, 15, "PERSON")], []])
    assert found.forms == {"csv": 1}
    assert found.locales == {"de_DE": 1, "ru_RU": 0}
    assert found.kinds == {"PERSON": 1, "PLACE": 0}
    assert found.false == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_hostile_family_makes_texts_of_the_size_asked_for(family: str) -> None:
    assert [len(FAMILIES[family](size)) for size in (1_000, 10_000)] == [1_000, 10_000]

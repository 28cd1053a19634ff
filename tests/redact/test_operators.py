"""What each operator writes, that doing it twice changes nothing, and what it counts."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.policy import under
from support.redact import one

from pipeline.redact.operators import Operator
from pipeline.redact.pseudonym import TOKEN, Pseudonyms

MAIL, PHONE, CARD = "marta.lindqvist@example.org", "+44 20 7946 0958", "4111 1111 1111 1111"
TEXT = f"mail {MAIL} or call {PHONE}, card {CARD}"
KEYS = Pseudonyms("k1", b"0" * 32, "US")


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("replace", "mail <EMAIL_ADDRESS> or call <PHONE_NUMBER>, card <CREDIT_CARD>"),
        ({"operator": "replace", "text": "[gone]"}, "mail [gone] or call [gone], card [gone]"),
        ("mask", f"mail {'*' * 27} or call {'*' * 16}, card {'*' * 19}"),
        ("drop", "mail  or call , card "),
        ("keep", TEXT),
    ],
)
def test_what_an_operator_writes(operator: object, expected: str) -> None:
    assert under(operators={"*": operator}).redact_text(TEXT).text == expected


def test_a_mask_shows_what_it_was_told_to() -> None:
    rules = {"CREDIT_CARD": {"operator": "mask", "keep_last": 4, "character": "#"}}
    out = under(operators=rules).redact_text(TEXT).text
    assert out.endswith("###############1111")
    assert TOKEN.search(out), "other types stay pseudonyms"


def test_a_mask_shows_nothing_of_a_value_that_it_would_mostly_show() -> None:
    mask = Operator(operator="mask", keep_first=2, keep_last=2)
    assert mask.apply("PERSON", "Anna Lee", KEYS) == "********"
    assert mask.apply("PERSON", "Anna Leeb", KEYS) == "An*****eb"


def test_a_hash_is_keyed_and_begins_as_the_pseudonym_does() -> None:
    hashed = Operator(operator="hash").apply("US_SSN", "536-22-8419", KEYS)
    token = KEYS.token("US_SSN", "536228419")
    assert re.fullmatch(r"<US_SSN:k1\.[0-9a-f]{64}>", hashed)
    assert hashed.startswith(token[:-1])
    assert TOKEN.fullmatch(hashed)
    other_key = Pseudonyms("k1", b"1" * 32, "US")
    assert Operator(operator="hash").apply("US_SSN", "536-22-8419", other_key) != hashed


OPERATORS = [
    *("pseudonym", "hash", "replace", "mask", "drop", "keep"),
    {"operator": "replace", "text": "[Project Falcon]"},
    *({"operator": "mask", "keep_last": n} for n in (4, 8, 13)),
    {"operator": "mask", "keep_first": 6, "keep_last": 4},
]


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_redacting_twice_changes_nothing(operator: object) -> None:
    document = {
        "text": TEXT,
        "password": "hunter2 hunter2",
        "ssn": "536-22-8419",
        "first_name": "Margaret",
        "address": "12 Old Mill Road, Leeds LS1 4AB",
        "note": "account 12345678901 of Project Falcon",
    }
    redactor = under(operators={"*": operator}, deny=[{"values": ["project falcon"]}])
    once = redactor.redact_text(json.dumps(document))
    twice = redactor.redact_text(once.text)
    assert twice.text == once.text
    assert twice.counts == {} or operator == "keep"


@given(st.text(max_size=60), st.integers(0, 64), st.integers(0, 64))
def test_a_mask_of_a_mask_is_the_mask(value: str, first: int, last: int) -> None:
    mask = Operator(operator="mask", keep_first=first, keep_last=last)
    masked = mask.apply("X_Y", value, KEYS)
    assert len(masked) == len(value)
    assert mask.apply("X_Y", masked, KEYS) == masked
    assert sum(a == b and a != "*" for a, b in zip(masked, value, strict=True)) <= len(value) // 2


@pytest.mark.parametrize("operator", ["replace", "mask", "hash", "drop"])
def test_every_operator_but_keep_is_counted(operator: str) -> None:
    event = one(under(operators={"EMAIL_ADDRESS": operator, "PHONE_NUMBER": "keep"}), input=TEXT)
    assert event.redactions == {"CREDIT_CARD": 1, "EMAIL_ADDRESS": 1}
    assert PHONE in event.payload.decode()


def test_a_dropped_value_leaves_valid_json() -> None:
    rules = under(operators={"*": "drop"}, fields={"amount": "drop"})
    out = rules.redact_text(json.dumps({"mail": MAIL, "amount": 129.5, MAIL: 1, "n": 2})).text
    document = json.loads(out)
    assert document["mail"] == ""
    assert document["amount"] == ""
    assert document["n"] == 2
    assert len(document) == 4, "keys stay apart"
    assert MAIL not in out


def test_secrets_are_neither_kept_nor_shown_in_part_by_a_general_operator() -> None:
    secret = "ghp_" + "a1B2" * 9
    for operator in ("keep", {"operator": "mask", "keep_last": 4}):
        out = under(operators={"*": operator}).redact_text(f"token {secret}")
        assert "B2" not in out.text
        assert out.counts == {"GITHUB_TOKEN": 1}
    assert secret in under(operators={"GITHUB_TOKEN": "keep"}).redact_text(f"token {secret}").text


@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        ("masked", "'pseudonym', 'replace'"),
        ({"operator": "replace", "text": "John Smith"}, "brackets"),
        ({"operator": "replace", "text": '["x"]'}, "brackets"),
        ({"operator": "mask", "text": "[x]"}, "text is for replace"),
        ({"operator": "drop", "keep_last": 4}, "are for mask"),
        ({"operator": "mask", "character": "x"}, "'*'"),
    ],
)
def test_an_operator_that_cannot_be_is_refused(operator: object, reason: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(reason)):
        under(operators={"PERSON": operator})

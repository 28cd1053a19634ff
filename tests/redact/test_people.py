"""Persons found in one part of a message are looked for in its other parts."""

import json

import pytest
from support.redact import event, fresh, one, redactor

from pipeline.redact.redactor import RedactedEvent

FOUND = {"first_name": "Margaret", "last_name": "Thompson", "passenger_name": "Margaret Thompson"}
"""Found by their keys: no model is needed."""


def _output(result: RedactedEvent) -> str:
    return json.loads(result.payload)["output"]


def _elsewhere(text: str, **fields: object) -> str:
    return _output(one(redactor(False), input=FOUND, output=text, **fields))


@pytest.mark.parametrize("text", ["to Margaret Thompson", "to MARGARET_THOMPSON", "to margaret.thompson"])
def test_full_names_are_found_in_any_case_with_any_separator(text: str) -> None:
    assert _elsewhere(text).startswith("to <PERSON:k1.")


def test_single_parts_are_found_where_they_are_capitalised() -> None:
    assert _elsewhere("Thompson was here").startswith("<PERSON:k1.")
    assert _elsewhere("the thompson was here") == "the thompson was here"


def test_short_parts_and_parts_of_words_stay() -> None:
    names = {"first_name": "Ann", "last_name": "Lee", "passenger_name": "Ann Lee"}
    result = one(redactor(False), input=names, output="Ann and Leeds, Annex")
    assert _output(result) == "Ann and Leeds, Annex"


def test_parts_that_the_message_uses_as_ordinary_words_stay() -> None:
    names = {"first_name": "Robert", "last_name": "Price"}
    result = one(redactor(False), input=[names, "what is the price of it"], output="Price: 12 Robert")
    assert _output(result).startswith("Price: 12 <PERSON:k1.")


def test_they_are_found_in_labels_and_keys_as_well() -> None:
    result = one(
        redactor(False), input=FOUND, output={"of margaret_thompson": 1}, target="crm/margaret_thompson/7"
    )
    assert "<PERSON:k1." in str(result.event.target)
    assert next(iter(json.loads(result.payload)["output"])).startswith("of <PERSON:k1.")
    assert result.redactions["PERSON"] == 5


def test_what_operators_wrote_is_left_alone() -> None:
    """Also where it reads like one of the names."""
    mark = "[Margaret Thompson]"
    names = {"passenger_name": "Margaret Thompson"}
    options = {"operators": {"EMAIL_ADDRESS": {"operator": "replace", "text": mark}}}
    mail = "m.t" + "@example.org"
    result = one(fresh(names=False, **options), input=names, output=f"{mail} of Margaret Thompson")
    assert _output(result).startswith(f"{mark} of <PERSON:k1.")


def test_tokens_are_left_alone() -> None:
    names = {"passenger_name": "Email Address"}
    result = one(redactor(False), input=names, output="a.b" + "@example.org")
    assert _output(result).startswith("<EMAIL_ADDRESS:k1.")


def test_the_operator_for_persons_holds_for_them() -> None:
    kept = fresh(names=False, operators={"PERSON": "replace"})
    result = one(kept, input=FOUND, output="by Margaret Thompson")
    assert _output(result) == "by <PERSON>"


def test_messages_of_a_batch_share_what_is_known_only_with_the_same_persons() -> None:
    """A history that two messages repeat has each time the persons of its message."""
    history = [{"role": "user", "content": f"{n}: Thompson met Anderson"} for n in range(3)]
    others = {"first_name": "Robert", "last_name": "Anderson", "passenger_name": "Robert Anderson"}
    messages = [
        [event(input=FOUND, output=history)],
        [event(input=others, output=history)],
        [event(input="nobody", output=history)],
        [event(input=FOUND, output=history)],
    ]
    together = redactor(False).redact(messages)
    alone = [fresh(names=False, memo_bytes=0).redact([message])[0] for message in messages]
    assert [m[0].payload for m in together] == [m[0].payload for m in alone]
    assert [m[0].redactions for m in together] == [m[0].redactions for m in alone]
    texts = [m[0].payload.decode() for m in together]
    assert ["Thompson" in t.partition('"output"')[2] for t in texts] == [False, True, True, False]
    assert ["Anderson" in t.partition('"output"')[2] for t in texts] == [True, False, True, True]

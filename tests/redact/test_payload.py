"""Payloads keep every byte that is not personal, whatever they are wrapped in."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.redact import fresh, one, redactor

from pipeline.redact.payload import parse

MAIL = "marta.lindqvist" + "@example.org"
CARD = 4539148803436467


def _input(value: object, **options: object) -> str:
    return json.loads(
        one(fresh(names=False, **options) if options else redactor(False), input=value).payload
    )["input"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_every_string_of_some_length_is_a_leaf(value: object) -> None:
    def strings(v: object) -> list[str]:
        if isinstance(v, dict):
            return [s for k, x in v.items() for s in [k, *strings(x)]]
        if isinstance(v, list):
            return [s for x in v for s in strings(x)]
        return [v] if isinstance(v, str) else []

    leaves = {leaf.text for leaf in parse(json.dumps([value]), 6).leaves()}
    assert {s for s in strings(value) if len(s) > 2 and s[:1] not in "[{ \t\n\r"} <= leaves


def test_what_is_not_redacted_keeps_its_bytes() -> None:
    numbers = '"amount": 129.50, "big": 12345678901234567890, "exp": 1.50E+3, "ts": 1793577607871509334'
    text = "{ " + numbers + ',\n "mail": "' + MAIL + '" }'
    token = redactor(False).redact_text(MAIL).text
    assert _input(text) == text.replace(MAIL, token)


@pytest.mark.parametrize("key", ["timestamp", "created_at", "start_time_unix_nano", "updatedAt", "ts"])
def test_times_survive_even_where_they_look_like_cards(key: str) -> None:
    assert _input({key: CARD, "amount": 1200.5}) == {key: CARD, "amount": 1200.5}


def test_a_card_as_a_number_becomes_a_token() -> None:
    redacted = _input({"value": CARD, "ssn": 536228419, "order": 536228419})
    assert str(redacted["value"]).startswith("<CREDIT_CARD:k1.")
    assert str(redacted["ssn"]).startswith("<US_SSN:k1.")
    assert redacted["order"] == 536228419
    assert redacted["value"] == _input("4539 1488 0343 6467")


@pytest.mark.parametrize(
    "key", ["password", "dbPassword", "X-Api-Key", "client_secret", "auth.token", "Authorization"]
)
def test_credential_keys_hide_their_values(key: str) -> None:
    value = "q7Lw2-correct-9"
    assert value not in json.dumps(_input({key: value}))
    assert value not in _input(json.dumps({"outer": json.dumps({key: value})}))


def test_credential_like_keys_with_counts_survive() -> None:
    assert _input({"max_tokens": 4096, "token_count": 12, "tokens": 7}) == {
        "max_tokens": 4096,
        "token_count": 12,
        "tokens": 7,
    }


def test_names_under_name_keys_need_no_model() -> None:
    redacted = _input(
        {"passengers": [{"first_name": "mia", "last_name": "li", "dob": "1990-04-05"}], "tool_name": "li"}
    )
    passenger = redacted["passengers"][0]
    assert [v[: v.index(":")] for v in passenger.values()] == ["<PERSON", "<PERSON", "<DATE_OF_BIRTH"]
    assert redacted["tool_name"] == "li"


@pytest.mark.parametrize(
    "hidden",
    [
        "marta.lindqvist\\u0040example.org",
        "marta.lindqvist%40example.org",
        "marta.lindqvist%2540example.org",
        "marta.lindqvist&#64;example.org",
        "\\u006darta.lindqvist\\x40example.org",
        base64.b64encode(f"contact {MAIL} now".encode()).decode(),
        base64.b64encode(base64.b64encode(f"contact {MAIL} now".encode())).decode(),
        "https://a.example.com/cb?state=" + base64.urlsafe_b64encode(MAIL.encode()).decode(),
    ],
)
def test_encodings_are_undone_before_anything_is_looked_for(hidden: str) -> None:
    redacted = _input(f"see {hidden} here")
    assert "<EMAIL_ADDRESS:k1." in redacted
    assert hidden not in redacted
    assert redacted.startswith("see ")
    assert redacted.endswith(" here")


def test_the_same_address_has_one_pseudonym_however_it_is_written() -> None:
    written = [MAIL, MAIL.upper(), MAIL.replace("@", "%40"), MAIL.replace("@", "\\u0040")]
    assert len({_input(w) for w in written}) == 1


def test_json_in_strings_deeper_than_allowed_is_replaced() -> None:
    deep = {"deep": json.dumps({"a": json.dumps({"b": json.dumps({"c": json.dumps({"d": [1]})})})})}
    result = one(fresh(names=False, max_nesting=2), input=deep, output="kept")
    assert b"<REDACTION_FAILED:nested_too_deep:" in result.payload
    assert b'"output":"kept"' in result.payload
    assert result.redactions == {"REDACTION_FAILED": 1}
    assert result.event.flags == ["redaction_failed"]


def test_lone_surrogates_and_controls_do_not_stop_anything() -> None:
    result = one(redactor(), input='{"a":"\\ud800 ' + MAIL + '","b":"\\u0000"}')
    assert "<EMAIL_ADDRESS" in result.payload.decode()


@settings(deadline=None, max_examples=60)
@given(JSON)
def test_any_payload_gives_valid_json_of_the_same_shape(value: object) -> None:
    result = one(redactor(False), input=value, output=json.dumps(value))
    decoded = json.loads(result.payload)
    assert set(decoded) == {"input", "output", "attributes"}
    assert isinstance(decoded["output"], str)


def test_leaves_know_their_key() -> None:
    leaves = parse('{"a":{"password":["one","two"],"ssn":"three"},"d":"four"}', 6).leaves()
    assert [(leaf.key, leaf.text) for leaf in leaves if leaf.field_class == "text"] == [
        ("password", "one"),
        ("password", "two"),
        ("ssn", "three"),
        ("", "four"),
    ]

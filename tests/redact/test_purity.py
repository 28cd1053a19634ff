"""Redaction is a function of (message, configuration, keys), not of what came before or with it."""

import random
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from support.redact import event, fresh, one, redactor

from pipeline.keys import Keys
from pipeline.redact.config import RedactionConfig
from pipeline.redact.pseudonym import TOKEN, normal_form
from pipeline.redact.redactor import RedactedEvent, Redactor
from schemas.event import Event

SNIPPETS = st.sampled_from(
    [
        "Margaret Thompson asked for it",
        "ask Margaret about Thompson & Sons",
        "marta.lindqvist" + "@example.org",
        "call 415-555-0132 or +44 20 7946 0958",
        "ssn 536-22-8419",
        "password=Tr0ub4dor&3xKq",
        '{"first_name": "Robert", "note": "Anderson"}',
        "invoice 4711 paid 129.50 on 2026-03-01",
        "<PERSON:k1.0123456789abcdef> said so",
        "visa 4539 1488 0343 6467",
        "plain words only",
    ]
)
TEXTS = st.lists(SNIPPETS | st.text(max_size=20), min_size=1, max_size=4).map(" ".join)
EVENTS = st.builds(
    lambda i, o, m: event(input=i, output={"a": o}, status_message=m), TEXTS, TEXTS, st.none() | TEXTS
)
MESSAGES = st.lists(st.lists(EVENTS, min_size=1, max_size=2), min_size=1, max_size=4)


def _plain(results: list[list[RedactedEvent]]) -> list[bytes]:
    return [msgspec.json.encode(m) for m in results]


@settings(deadline=None, max_examples=40)
@given(MESSAGES, st.randoms())
def test_order_batches_and_memo_change_nothing(messages: list[list[Event]], order: random.Random) -> None:
    together = _plain(redactor().redact(messages))
    shuffled = list(range(len(messages)))
    order.shuffle(shuffled)
    again = _plain(redactor().redact([messages[i] for i in shuffled]))
    assert [together[i] for i in shuffled] == again
    assert [_plain(redactor().redact([m]))[0] for m in messages] == together


def test_a_redactor_that_remembers_nothing_gives_the_same() -> None:
    texts = [
        "Margaret Thompson paid",
        "card 4539 1488 0343 6467",
        "Robert Anderson, 2847 Maplewood Avenue",
    ] * 3
    messages = [[event(input=t, output=texts[i - 1])] for i, t in enumerate(texts)]
    forgetful = fresh(memo_bytes=0)
    assert _plain(forgetful.redact(messages)) == _plain(redactor().redact(messages))
    assert _plain([forgetful.redact([m])[0] for m in messages]) == _plain(redactor().redact(messages))


@settings(deadline=None, max_examples=150)
@given(TEXTS)
def test_redacting_twice_changes_nothing(text: str) -> None:
    once = redactor(False).redact_text(text).text
    assert redactor(False).redact_text(once).text == once


@settings(deadline=None, max_examples=30)
@given(TEXTS)
def test_tokens_pass_unchanged_whatever_is_around_them(text: str) -> None:
    once = redactor().redact_text(text).text
    twice = redactor().redact_text(once).text
    assert set(TOKEN.findall(once)) <= set(TOKEN.findall(twice))


def test_a_name_found_in_one_leaf_is_found_in_the_others_of_its_message() -> None:
    story = "My name is Margaret Thompson and I want to change my flight."
    elsewhere = {"account": "x4711-MARGARET.THOMPSON", "by": "7/Thompson/7"}
    together = one(redactor(names="spacy"), input=story, output=elsewhere)
    alone = one(redactor(names="spacy"), output=elsewhere)
    assert b"hompson" not in together.payload.lower()
    assert b"THOMPSON" in alone.payload


def test_ordinary_words_are_not_taken_for_names() -> None:
    texts = ["Robert Price wants it.", "what is the price of it", "Price: 12"]
    result = one(redactor(), input=texts)
    assert b"Price: 12" in result.payload


def test_keys_and_key_ids_decide_the_pseudonym(tmp_path: Path) -> None:
    text = "marta.lindqvist" + "@example.org"
    config = RedactionConfig(names="off")
    first = Redactor(config, Keys(tmp_path / "a")).redact_text(text).text
    same = Redactor(config, Keys(tmp_path / "a")).redact_text(text).text
    other = Redactor(config, Keys(tmp_path / "b")).redact_text(text).text
    rotated = Redactor(RedactionConfig(names="off", pseudonym_key_id="k2"), Keys(tmp_path / "a"))
    assert first == same != other
    assert rotated.redact_text(text).text.startswith("<EMAIL_ADDRESS:k2.")


def test_normal_forms() -> None:
    assert normal_form("EMAIL_ADDRESS", "Marta@Example.ORG", "US") == "marta@example.org"
    assert normal_form("PHONE_NUMBER", "(415) 555-0132", "US") == "+14155550132"
    assert normal_form("PHONE_NUMBER", "+44 20 7946 0958", "US") == "+442079460958"
    assert normal_form("IBAN_CODE", "de89 3704 0044", "US") == "DE8937040044"
    assert normal_form("PERSON", "Ｍargaret\n THOMPSON", "US") == "margaret thompson"
    assert normal_form("GITHUB_TOKEN", "gh Ab", "US") == "gh Ab"

"""Each type finds its values, however they are written, and none finds ids, amounts, times, code or prose."""

import re
import time

import pytest
from support.redact import redactor
from support.type_cases import PERSONAL_CASES, found
from support.type_negatives import NEGATIVES

from pipeline.redact.types import personal, secrets

CASES = [(entity, text) for entity, texts in PERSONAL_CASES.items() for text in texts]


def test_every_type_has_a_case() -> None:
    assert {shape.entity for shape in personal.PATTERNS} == set(PERSONAL_CASES)


@pytest.mark.parametrize(("entity", "text"), CASES)
def test_a_value_is_found_alone_and_within_a_sentence(entity: str, text: str) -> None:
    for carrier in ("{}", "Please note: {} and go on.", '{{"note": "{}"}}', "x\n{}\ny"):
        assert entity in {kind for kind, _ in found(carrier.format(text))}, carrier


@pytest.mark.parametrize("text", NEGATIVES)
def test_nothing_is_found_where_nothing_is_personal(text: str) -> None:
    assert found(text) == []


def test_redacted_text_does_not_hold_the_value() -> None:
    lines = [text for _, texts in PERSONAL_CASES.items() for text in texts]
    for line in lines:
        redacted = redactor(names=False).redact_text(f"Please note: {line} and go on.").text
        values = [value for _, value in found(line)]
        assert not [v for v in values if v in redacted], (line, redacted)


@pytest.mark.parametrize(
    ("sure", "wrong"),
    [
        ("4539 1488 0343 6467", "4539 1488 0343 6468"),
        ("529.982.247-25", "529.982.247-26"),
        ("12345678Z", "12345678A"),
        ("131052-308T", "131052-308U"),
        ("756.9217.0769.85", "756.9217.0769.86"),
        ("11010519491231002X", "110105194912310021"),
        ("2 55 08 14 168 025 38", "2 55 08 14 168 025 39"),
        ("RSSMRA85T10A562S", "RSSMRA85T10A562T"),
        ("112-233-445 95", "112-233-445 96"),
        ("40.712776, -74.005974", "0.712776, -0.005974"),
        ("DE89370400440532013000", "DE89370400440532013001"),
        ("Aadhaar 2345 6789 0124", "shipment 2345 6789 0124"),
        ("BSN 111222333", "order 111222333"),
        ("PESEL 44051401359", "order 44051401359"),
        ("319 Fox Wells Apt 4", "319 Fox Wells"),
    ],
)
def test_without_its_sum_or_its_word_a_number_is_nobodys(sure: str, wrong: str) -> None:
    assert found(sure)
    assert found(wrong) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            "ship to 2847 Maplewood Avenue, Apt 4B, Springfield, IL 62704 today",
            "2847 Maplewood Avenue, Apt 4B, Springfield, IL 62704",
        ),
        ("Ich wohne Hauptstraße 12, 10115 Berlin.", "Hauptstraße 12, 10115 Berlin"),
        ("12 Rue de la Paix, 75002 Paris", "12 Rue de la Paix, 75002 Paris"),
    ],
)
def test_an_address_is_taken_with_its_city(text: str, value: str) -> None:
    assert value in [v for kind, v in found(text) if kind == "STREET_ADDRESS"]


HOSTILE = {
    "digits": "1234567890",
    "dots": ".",
    "spaces": " ",
    "plus": "+1 ",
    "quotes": "\"'",
    "capitals": "Ab ",
    "keys": "sk-",
    "tokens": "eyJabcdefgh.",
    "pem": "-----BEGIN PRIVATE KEY-----",
    "groups": "1234 5678 ",
    "words": "phone token passport card ",
    "brackets": "(030) ",
    "base64": "QWxhZGRpbjpvcGVuIHNlc2FtZQ",
    "cookie": "cookie: a=bbbb; ",
}


@pytest.mark.parametrize("family", HOSTILE)
def test_a_shape_is_linear_in_the_text(family: str) -> None:
    def seconds(length: int) -> float:
        text = (HOSTILE[family] * (length // len(HOSTILE[family]) + 1))[:length]
        start = time.process_time()
        for shape in (*secrets.PATTERNS, *personal.PATTERNS):
            for match in shape.pattern.finditer(text):
                if shape.accept is not None:
                    shape.accept(match["v" if "v" in shape.pattern.groupindex else 0])
        return time.process_time() - start

    short = min(seconds(2_000) for _ in range(3))
    assert seconds(20_000) < 10 * 3 * max(short, 0.01)


def test_no_pattern_has_a_group_that_it_does_not_need() -> None:
    for shape in (*secrets.PATTERNS, *personal.PATTERNS):
        assert set(shape.pattern.groupindex) <= {"v"}
        assert shape.pattern.groups == len(shape.pattern.groupindex), shape.pattern.pattern
        assert not re.search(r"\{\d*,(?:[1-9]\d{3,})\}", shape.pattern.pattern), "a huge bounded repeat"

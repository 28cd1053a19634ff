"""What the one scan lets through, and whatever recognizer is registered taking part."""

import re
import sys
import threading
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import regex
import structlog
from support.long import by_form
from support.redact import fresh

from pipeline.errors import ConfigError
from pipeline.logs import LogConfig, configure_logs
from pipeline.redact.config import RedactionConfig
from pipeline.redact.find import finders, scan
from pipeline.redact.find.engine import Engine
from pipeline.redact.find.gate import Gate
from pipeline.redact.find.names import name_finder
from pipeline.redact.find.phone import PhoneWalk
from pipeline.redact.find.scan import PatternScan
from pipeline.redact.find.shadow import shadows
from pipeline.redact.find.syntax import Flavour, linear_form, parsed, scan_form

YAML = """
recognizers:
  - name: Ticket
    supported_entity: TICKET
    patterns: [{name: ticket, regex: 'TCK-\\d{5}(?=\\b)', score: 0.2}]
    context: [ticket, incident]
  - name: Codename
    supported_entity: CODENAME
    deny_list: [Bluebird, Größe XL]
"""


def _found(engine: Engine, text: str) -> set[tuple[str, str]]:
    return {(s.entity, text[s.start : s.end]) for s in engine.analyze(text)}


def _engine(**options: Any) -> Engine:
    return Engine(RedactionConfig.model_validate({"names": "off", **options}))


def test_the_recognizers_of_a_file_take_part(tmp_path: Path) -> None:
    path = tmp_path / "recognizers.yaml"
    path.write_text(YAML)
    engine = _engine(recognizers_file=path)
    assert ("TICKET", "TCK-12345") in _found(engine, "the ticket TCK-12345 is open")
    assert ("TICKET", "TCK-12345") not in _found(engine, "see TCK-12345"), "its score needs a context word"
    assert ("CODENAME", "Bluebird") in _found(engine, "project bluebird".replace("b", "B", 1))
    assert ("CODENAME", "größe xl") in _found(engine, "in größe xl")


def test_a_recognizer_in_python_takes_part_and_is_asked_for_all_it_supports() -> None:
    engine = _engine(recognizers=("support.own_recognizers:Shouted",), entities=("PERSON",))
    assert ("SHOUTED", "HELP") in _found(engine, "please !HELP me")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("support.own_recognizers:Missing", "no attribute"),
        ("no.such.module:Thing", "No module"),
        ("support.own_recognizers:NotOne", "EntityRecognizer"),
    ],
)
def test_a_recognizer_that_cannot_be_made_is_a_configuration_error(name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        _engine(recognizers=(name,))


def test_a_file_that_holds_no_recognizers_is_a_configuration_error(tmp_path: Path) -> None:
    path = tmp_path / "recognizers.yaml"
    path.write_text("something: else")
    with pytest.raises(ConfigError, match="recognizers_file"):
        _engine(recognizers_file=path)
    with pytest.raises(ConfigError, match="correct the path"):
        _engine(recognizers_file=tmp_path / "absent.yaml")


def test_a_pattern_out_of_time_fails_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "TIMEOUT_SECONDS", 0.05)
    redactor = fresh(names=False, recognizers=("support.own_recognizers:Slow",))
    result = redactor.redact_text("name " + "x" * 60)
    assert result.text.startswith("<REDACTION_FAILED:recognizer_error:")


def test_a_recognizer_that_hides_a_timeout_fails_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presidio_analyzer.pattern_recognizer.REGEX_TIMEOUT_SECONDS", 0.05)
    configure_logs(LogConfig())  # as `auditfuse run` does
    with pytest.raises(TimeoutError, match="SwallowsTimeouts"):
        _engine(recognizers=("support.own_recognizers:SwallowsTimeouts",)).analyze("x" * 60)
    assert finders._log.getEffectiveLevel() <= 30
    structlog.reset_defaults()


def test_the_names_option_picks_the_finder(tmp_path: Path) -> None:
    assert name_finder(RedactionConfig(names="off")) is None
    absent = name_finder(RedactionConfig(names="spacy", model="no_such_model"))
    assert absent is not None
    with pytest.raises(ConfigError, match=r"auditfuse\[spacy\]"):
        absent.find(["Margaret Thompson called"])
    with pytest.raises(ConfigError, match="nlp_engine"):
        name_finder(RedactionConfig(names="presidio"))


def test_any_nlp_engine_of_presidio_finds_names(tmp_path: Path) -> None:
    path = tmp_path / "nlp.yaml"
    model = RedactionConfig().model
    path.write_text(f"nlp_engine_name: spacy\nmodels: [{{lang_code: en, model_name: {model}}}]\n")
    text = "Margaret Thompson flew to Oslo"
    by_presidio = name_finder(RedactionConfig(names="presidio", nlp_engine=path))
    by_spacy = name_finder(RedactionConfig(names="spacy"))
    assert by_presidio is not None
    assert by_spacy is not None
    found = [[s[:4] for s in finder.find([text])[text]] for finder in (by_presidio, by_spacy)]
    assert found[0] == found[1] != []


PATTERNS: tuple[tuple[str, int, Flavour], ...] = (
    (r"\b[0-9]{3}-\w+\b", 0, "regex"),
    (r"[^a-z\s]{2}k", re.I, "regex"),
    (r"(?<![\w:])(?:[é-ü]|\W)\d", 0, "re"),
    (r"(ab|\d)\1x?", re.I | re.S, "re"),
    (r"(?i:straße)|[^\W_]{2,50}?$", re.M, "regex"),
    (r"(?:a|[^0-9])+@[.\s]", re.I | re.M | re.S, "regex"),
)
SEEDS = ("123-ab", "12k", "K ü1", "ab7ab", "straße9", "99aa@. ")
ENDS = by_form(short="1", long="a1@\n")
ALPHABET = "aAkKsSiIéÉßſKİı012٣३9 \t\n\x0b\x1c\xa0\u2028_-@.:xé\u0301ाzZ中²\u200d😀ñ—'"


@pytest.mark.parametrize(("pattern", "flags", "flavour"), PATTERNS)
def test_the_scan_opens_wherever_a_pattern_matches(pattern: str, flags: int, flavour: Flavour) -> None:
    form = scan_form(pattern, int(flags), flavour)
    assert form is not None
    gate = Gate({7: form})
    matcher: Any = (regex if flavour == "regex" else re).compile(pattern, flags)
    texts = [
        a + s[:i] + b + s[i + 1 :] for s in SEEDS for i in range(len(s)) for a in "\n-é" for b in ALPHABET
    ]
    opened = 0
    for text in texts:
        if any(m.end() > m.start() for m in matcher.finditer(text)):
            assert 7 in gate.open(text), ascii(text)
            opened += 1
    assert opened > 0


@pytest.mark.parametrize(("pattern", "flags", "flavour"), PATTERNS)
def test_re2_finds_what_the_pattern_finds_in_ascii(pattern: str, flags: int, flavour: Flavour) -> None:
    if flavour == "re" or "(?<" in pattern:
        pytest.skip("its recognizer is never run by RE2")
    run = PatternScan(pattern, int(flags))
    assert linear_form(parsed(pattern, int(flags), flavour))
    alphabet = [c for c in ALPHABET if c.isascii()]
    matcher = regex.compile(pattern, flags)
    for text in (a + b + c + d for a in alphabet for b in alphabet for c in alphabet for d in ENDS):
        expected = [m.span() for m in matcher.finditer(text) if m.end() > m.start()]
        assert list(run.spans(text)) == expected, ascii(text)


@pytest.mark.parametrize(
    "pattern", [r"(?:abc){e<=1}", r"\p{L}+", r"[[:alpha:]]+", r"a(?|b|c)", r"\N{DIGIT ONE}(?e)x"]
)
def test_what_is_not_understood_is_always_run(pattern: str) -> None:
    assert scan_form(pattern, 0, "regex") is None


def test_braces_in_classes_and_escapes_are_understood() -> None:
    assert scan_form(r"[{|}~]+@\{x\}a{2,3}", 0, "regex") is not None


def test_a_shadow_has_a_byte_for_each_character_and_keeps_digits() -> None:
    text = "".join(
        chr(code) for code in range(0x20, sys.maxunicode + 1, 37) if unicodedata.category(chr(code)) != "Cs"
    )
    for shadow in shadows(text):
        assert len(shadow) == len(text)
        assert all(chr(b).isdecimal() for c, b in zip(text, shadow, strict=True) if c.isdecimal())


def test_a_pattern_that_hyperscan_refuses_is_always_open() -> None:
    gate = Gate({1: "abc", 2: "(" * 3 + "a" * 20_000 + ")" * 3})
    assert gate.always == {2}
    assert gate.open("xabcx") == {1}


def test_threads_share_one_engine() -> None:
    engine = _engine()
    texts = [f"mail a{n}@example.org or 415 555 01{n:02}" for n in range(30)]
    expected = [_found(engine, text) for text in texts]
    wrong: list[str] = []

    def work() -> None:
        wrong.extend(t for t, e in zip(texts, expected, strict=True) if _found(engine, t) != e)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_long_integers_are_rejected_without_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = PhoneWalk(("US", "GB", "DE"), 1)

    def never(*_: object) -> None:
        raise AssertionError("the stock matcher was asked")

    monkeypatch.setattr(walk, "_remembered", never)
    for text in ("took 1763829384123 ns", "id 100000 of 250000", "v1.2.3-20250929", "129.50 + 4.20"):
        assert list(walk.spans(text)) == []

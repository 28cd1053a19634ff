"""Budgets: what exceeds them is cut, its length and a keyed hash stay, and nothing of the rest gets out."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.redact import event, fresh, one

from pipeline.redact.redactor import RedactedEvent, Redactor
from pipeline.redact.stand_ins import count_stand_ins

MAIL = "marta.lindqvist" + "@example.org"
CUT = re.compile(r"<REDACTION_CUT:([a-z_]+):(\d+):k1\.[0-9a-f]{16}>")
SMALL = fresh(
    names=False,
    max_value_bytes=2048,
    max_candidates=20,
    max_event_bytes=8192,
    max_event_candidates=300,
    max_names_bytes=6000,
    max_nesting=3,
)


def _cuts(result: RedactedEvent) -> list[tuple[str, int]]:
    return [(reason, int(length)) for reason, length in CUT.findall(result.payload.decode())]


def _input(result: RedactedEvent) -> str:
    return json.loads(result.payload)["input"]


def test_a_long_value_keeps_its_head() -> None:
    text = f"first {MAIL} then " + "some words " * 300
    result = one(SMALL, input=text, output="kept")
    out = _input(result)
    assert out.startswith("first <EMAIL_ADDRESS:k1.")
    (reason, length) = _cuts(result)[0]
    assert reason == "value_bytes"
    assert text.endswith(text[-length:]) and len(text) - 2048 <= length <= len(text) - 1950
    assert result.redactions == {"EMAIL_ADDRESS": 1, "REDACTION_CUT": 1}
    assert json.loads(result.payload)["output"] == "kept"
    assert result.event.flags == ["redaction_failed"]


def test_the_length_and_the_hash_say_what_was_cut() -> None:
    first, second = ("words " * 500 + end for end in ("x", "y"))
    a, b, again = (_input(one(SMALL, input=text)) for text in (first, second, first))
    assert a == again != b
    assert a.partition("<")[0] == b.partition("<")[0]
    assert int(CUT.search(a)[2]) == len(first) - a.index("<")


def test_many_candidates_are_cut_at_the_cap() -> None:
    result = one(SMALL, input="order 1234 " * 30)
    assert _input(result).startswith("order 1234 " * 19)
    assert _cuts(result) == [("value_candidates", 10 * 11 - 6)]


VALUES = [
    MAIL,
    "4539 1488 0343 6467",
    "+44 20 7946 0958",
    "DE89 3704 0044 0532 0130 00",
    "12 Maplewood Avenue",
    "sk-proj-" + "Ab3" * 16,
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("words", ["lorem ", "x"])
def test_a_value_across_the_cut_does_not_leak_its_head(value: str, words: str) -> None:
    for inside in range(1, len(value)):
        fill = (words * 2100)[: 2048 - inside - 1] + " "
        out = _input(one(SMALL, input=fill + value + " and more words" * 50))
        head = CUT.split(out)[0]
        leaked = head[len(fill.rstrip()) :].strip()
        assert not any(part and part in leaked for part in (value[:6], value[:3])), (inside, leaked)
        assert not re.search(r"\d{3}|[@+]", leaked.partition("<")[0]), (inside, leaked)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 80), st.integers(0, 60), st.sampled_from(VALUES))
def test_what_is_beyond_the_cut_never_comes_out(before: int, after: int, value: str) -> None:
    text = f"{'word ' * before}{value} {'word ' * 500}{value} {'1234 ' * after}{value}"
    out = _input(one(SMALL, input=text))
    assert value not in out
    assert value[-6:] not in out


def test_an_event_over_its_bytes_keeps_what_comes_first_and_stays_json() -> None:
    rows = [{"n": n, "text": f"row {n} " + "words " * 20} for n in range(200)]
    result = one(SMALL, input={"rows": rows}, output="second", attributes={"k": "v"})
    payload = json.loads(result.payload)
    assert payload["input"]["rows"][:20] == rows[:20]
    assert set(payload) == {"input", "output", "attributes"}
    assert isinstance(payload["attributes"], dict)
    assert len(result.payload) < 8192
    reasons = {reason for reason, _ in _cuts(result)}
    assert reasons == {"event_bytes"}
    assert payload["output"].startswith("<REDACTION_CUT:event_bytes:6:")
    assert result.redactions["REDACTION_CUT"] == len(_cuts(result)) == 3


def test_an_event_with_too_many_values_is_cut() -> None:
    result = one(SMALL, input=[f"v{n:03}" for n in range(400)])
    payload = json.loads(result.payload)["input"]
    assert payload[:140] == [f"v{n:03}" for n in range(140)]
    assert payload[-1].startswith("<REDACTION_CUT:event_candidates:")


def test_text_beyond_what_is_read_for_names_is_cut() -> None:
    reads = fresh(max_event_bytes=1 << 20, max_names_bytes=6000, max_value_bytes=4096)
    reads._work._names = None  # the budget alone is looked at: no model is loaded
    result = one(reads, input=["a" * 50 + f" word {n}" for n in range(200)])
    assert {reason for reason, _ in _cuts(result)} == {"event_names"}
    assert not _cuts(one(reads, input=["same words " * 10] * 200))


def test_json_in_strings_is_cut_inside_and_outside() -> None:
    inner = json.dumps([{"t": f"{n} " + "w " * 90} for n in range(60)])
    result = one(SMALL, input=json.dumps({"doc": inner, "after": "gone"}))
    outer = json.loads(_input(result))
    kept = json.loads(outer["doc"])
    assert kept[0] == {"t": "0 " + "w " * 90}
    assert CUT.search(json.dumps(kept[-1]))
    assert "gone" not in result.payload.decode()
    assert len(_cuts(result)) == 2


def test_a_long_user_is_never_given_out_in_part() -> None:
    user = one(SMALL, end_user="margaret " * 400).event.end_user
    assert user and CUT.fullmatch(user)


def test_cut_events_are_the_same_in_any_batch() -> None:
    texts = ["order 1234 " * 30, "words " * 500, f"{MAIL} " * 400]
    messages = [[event(input=t, output=texts)] for t in texts]
    together = SMALL.redact(messages)
    assert [SMALL.redact([message])[0] for message in messages] == together
    assert fresh(names=False, **_options(SMALL), memo_bytes=0).redact(messages) == together


def test_redacting_a_cut_text_again_changes_nothing() -> None:
    once = _input(one(SMALL, input=f"mail {MAIL} " + "words " * 500))
    assert _input(one(SMALL, input=once)) == once


def test_stand_ins_are_counted_by_reason_and_forged_reasons_are_not() -> None:
    result = one(SMALL, input="order 1234 " * 30, output="<REDACTION_CUT:made_up:1:k1.0123456789abcdef>")
    assert count_stand_ins([result.payload]) == {("CUT", "value_candidates"): 1}


def _options(redactor: Redactor) -> dict[str, object]:
    return redactor._config.model_dump(exclude={"names", "memo_bytes"}, exclude_defaults=True)

"""No known secret or personal value is left in any place of an event, in any encoding."""

import msgspec
import pytest
from support.canaries import CANARIES, Canary, encodings, malformed, places, plant
from support.redact import fresh, redactor

from pipeline.redact.redactor import RedactedEvent


def _bytes(event: RedactedEvent) -> bytes:
    return msgspec.json.encode(event.event) + b"\n" + event.payload


def test_there_are_forty_distinct_canaries() -> None:
    assert len({c.value for c in CANARIES}) == len({c.name for c in CANARIES}) == len(CANARIES) == 40
    assert len({c.entity for c in CANARIES}) >= 30


@pytest.mark.parametrize("canary", CANARIES, ids=lambda c: c.name)
def test_no_place_keeps_a_canary(canary: Canary) -> None:
    messages = [[event] for event in plant(canary.value)]
    for place, (redacted,) in zip(places(canary.value), redactor().redact(messages), strict=True):
        left = [name for name, form in encodings(canary.value).items() if form in _bytes(redacted)]
        assert not left, f"{canary.name} is left in {place} as {left}"
        assert not redacted.failed, place


@pytest.mark.parametrize("canary", CANARIES, ids=lambda c: c.name)
def test_a_canary_is_counted_under_its_type(canary: Canary) -> None:
    counts = redactor(names=False).redact_text(f"See {canary.value} there").counts
    # A bank account of eleven digits is a phone number as well; any of the two names will do.
    expected = {canary.entity} | ({"PHONE_NUMBER"} if canary.name == "bank_account" else set())
    if canary.entity != "PERSON":
        assert expected & set(counts)


def test_switched_off_every_canary_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    off = fresh(enabled=False)
    assert "switched off" in capsys.readouterr().err
    for canary in CANARIES:
        everything = b"".join(_bytes(r) for m in off.redact([plant(canary.value)]) for r in m)
        assert encodings(canary.value)["json"] in everything


def test_malformed_messages_hold_the_canary() -> None:
    for canary in CANARIES:
        assert all(any(f in m for f in encodings(canary.value).values()) for m in malformed(canary.value))

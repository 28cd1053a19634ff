"""What people write as a reason is redacted before it is kept, and no trip waits for that."""

import threading
import time
from pathlib import Path

import pytest
from support.killswitch import FakeControl, running_switch, until
from support.redact import test_keys as keys_of_the_tests

from pipeline.keys import Keys
from pipeline.killswitch import switch as switch_module
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.journal import Journal
from pipeline.killswitch.operator import Operator
from pipeline.redact.config import RedactionConfig
from pipeline.redact.reasons import WITHHELD, ReasonRedactor
from schemas.command import Selector

PERSONAL = "asked for by marta.lindqvist@example.org"
AGENT = Selector(agent="invoice-agent")


def written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


class SlowRedactor:
    """Takes as long as the test lets it."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.asked = threading.Event()

    def __call__(self, text: str, wait_s: float) -> str:
        self.asked.set()
        return text.replace(PERSONAL, "asked for by <E-MAIL>") if self.go_on.wait(wait_s) else WITHHELD


def test_a_trip_is_served_before_its_reason_is_redacted_and_written_after(tmp_path, monkeypatch):
    monkeypatch.setattr(switch_module, "TRIP_REASON_WAIT_S", 30)
    redact, control = SlowRedactor(), FakeControl()
    with running_switch(tmp_path, control, redact=redact) as switch:
        order = {"by": "alice", "reason": PERSONAL}
        tripping = threading.Thread(target=switch.trip, args=(AGENT, "off"), kwargs=order)
        tripping.start()
        assert redact.asked.wait(5)
        (served,) = switch.status().trips
        assert (served.mode, served.reason) == ("off", WITHHELD)
        time.sleep(0.5)  # two rounds of the keeper: nothing may be written yet, and nothing says so
        assert not list((tmp_path / "trips").iterdir())
        assert control.rows == []
        redact.go_on.set()
        tripping.join(5)
        until(lambda: [row.reason for row in control.rows] == ["asked for by <E-MAIL>"])
        assert switch.status().trips[0].reason == "asked for by <E-MAIL>"
        until((tmp_path / "sealed.json").exists)
    assert PERSONAL.encode() not in written(tmp_path)


def test_a_reason_that_cannot_be_redacted_in_time_is_withheld_and_the_trip_stands(tmp_path):
    control = FakeControl()
    with running_switch(tmp_path, control, redact=SlowRedactor()) as switch:
        began = time.monotonic()
        made = switch.trip(AGENT, "off", by="alice", reason=PERSONAL)
        assert time.monotonic() - began < 5
        assert switch.wait_sealed(made.id, 5)
        assert [row.reason for row in control.rows] == [WITHHELD]
    assert PERSONAL.encode() not in written(tmp_path)


def test_reasons_of_what_loosens_are_redacted_too(tmp_path):
    redact, control = SlowRedactor(), FakeControl()
    redact.go_on.set()
    with running_switch(tmp_path, control, redact=redact) as switch:
        made = switch.trip(AGENT, "off", by="auditfuse", reason="x", automatic=True, finding_id="fnd_1")
        switch.step_down([made.id], by="alice", reason=PERSONAL)
        request = switch.request_reset([made.id], by="alice", reason=PERSONAL)
        assert switch.wait_sealed(request.id, 5)
        switch.approve_reset(request.id, by="bob", reason=PERSONAL)
        until(lambda: len(control.rows) == 4)
    assert [row.reason for row in control.rows[1:]] == ["asked for by <E-MAIL>"] * 3


def test_without_a_server_the_trip_is_in_the_journal_before_its_reason_is_looked_at(tmp_path):
    config = KillSwitchConfig(journal=tmp_path / "journal", port=1)
    seen: list[str] = []

    def redact(text: str, wait_s: float) -> str:
        del wait_s
        seen.extend(trip.reason for trip in Journal(config.journal).scan({}).trips.values())
        return f"{len(text)} letters"

    made = Operator(config, redact).trip(AGENT, "off", by="alice", reason=PERSONAL, until_ms=None)
    assert seen == [WITHHELD]
    (kept,) = Journal(config.journal).scan({}).trips.values()
    assert kept == made
    assert kept.reason == f"{len(PERSONAL)} letters"
    assert PERSONAL.encode() not in written(tmp_path)


def test_patterns_redact_a_reason():
    redact = ReasonRedactor(RedactionConfig(), keys_of_the_tests())
    redact.load()
    assert redact(PERSONAL, 60).startswith("asked for by <EMAIL_ADDRESS:")
    assert redact("pays invoice 4711 twice", 60) == "pays invoice 4711 twice"


def test_what_cannot_be_redacted_is_withheld(tmp_path, capsys):
    (tmp_path / "keys").write_text("not a directory")
    redact = ReasonRedactor(RedactionConfig(), Keys(tmp_path / "keys"))
    assert redact(PERSONAL, 2) == WITHHELD
    assert redact(PERSONAL, 0.1) == WITHHELD
    assert "marta" not in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "  "])
def test_nothing_stays_nothing(text):
    assert ReasonRedactor(RedactionConfig(), keys_of_the_tests())(text, 0) == text

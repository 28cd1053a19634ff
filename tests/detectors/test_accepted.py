"""Accepted baselines: what people call the new normal is learned anew, at the same minute in every fold."""

import json
from pathlib import Path

import pytest
from support.signals import START_MS, batch, batches, idle, observe_all, signals
from typer.testing import CliRunner

from pipeline.audit.control import read_rows
from pipeline.audit.store import CONTROL, Store
from pipeline.cli import build_app
from pipeline.detect import DetectConfig, Detection, SignalBatch
from pipeline.detect.accepted import EFFECT_AFTER_MS, acceptances
from pipeline.detect.model import Acceptance
from schemas.command import Command, Selector

DAYS = 5
LEARNED = DAYS * 24 * 12
CHANGE_MS = START_MS + DAYS * 86_400_000
CONFIG = DetectConfig()


@pytest.fixture(scope="module")
def learned() -> bytes:
    """A snapshot after five days with a write now and then."""
    detection = Detection(CONFIG)
    observe_all(detection, batches(signals(START_MS, LEARNED, DAYS * 86_400, action_kind="write")))
    return detection.snapshot()


def changed() -> list[SignalBatch]:
    """Ten times as many writes, for good."""
    rows = signals(CHANGE_MS, 200, 2 * 3600, action_kind="write")
    return [batch(rows, start=LEARNED), idle(LEARNED + 200, CHANGE_MS + 3 * 3_600_000)]


CHANGED = changed()
ACCEPTED = Acceptance("accept_1", "prod", "invoice-agent", CHANGE_MS // 60_000)


def test_without_it_the_change_is_found_and_with_it_not(learned: bytes) -> None:
    found = observe_all(Detection.restore(CONFIG, learned), CHANGED)
    assert {one.finding.detector for one in found} == {"write_burst"}
    accepting = Detection.restore(CONFIG, learned)
    accepting.accept([ACCEPTED])
    assert observe_all(accepting, CHANGED) == []


@pytest.mark.parametrize("environment", ["staging", ""])
def test_it_concerns_one_environment_or_all(learned: bytes, environment: str) -> None:
    detection = Detection.restore(CONFIG, learned)
    detection.accept([ACCEPTED._replace(environment=environment)])
    assert bool(observe_all(detection, CHANGED)) == (environment == "staging")


def test_it_counts_once_and_outlives_a_restart(learned: bytes) -> None:
    accepting = Detection.restore(CONFIG, learned)
    accepting.accept([ACCEPTED])
    restarted = Detection.restore(CONFIG, accepting.snapshot())
    assert observe_all(restarted, CHANGED) == []
    state = restarted.snapshot()
    restarted.accept([ACCEPTED])
    assert restarted.snapshot() == state


def test_the_command_is_sealed_and_takes_effect_later(tmp_path: Path) -> None:
    options = [
        "--store",
        f"{tmp_path}/store",
        "--environment",
        "prod",
        "--by",
        "maria",
        "--reason",
        "release 2",
    ]
    result = CliRunner().invoke(build_app(), ["baseline", "accept", "invoice-agent", "--json", *options])
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    [row] = read_rows(Store(tmp_path / "store"), CONTROL)
    document = json.loads(row.meta or b"")
    assert (document["by"], document["reason"], document["command"]) == (
        "maria",
        "release 2",
        "accept_baseline",
    )
    command = Command(
        id=told["id"],
        command="accept_baseline",
        at_ms=document["at_ms"],
        by="maria",
        automatic=False,
        reason="",
        selector=Selector(environment="prod", agent="invoice-agent"),
    )
    [one] = acceptances([command])
    assert one.from_minute * 60_000 >= told["from_ms"] == document["at_ms"] + EFFECT_AFTER_MS

"""Accepted baselines: what people call the new normal is learned anew, at the same minute in every fold."""

import json
from pathlib import Path

import pytest
from support.signals import START_MS, batch, batches, identities, idle, observe_all, signals
from typer.testing import CliRunner

from pipeline.audit.control import read_rows
from pipeline.audit.store import CONTROL, Store
from pipeline.cli import build_app
from pipeline.detect import DetectConfig, Detection, SignalBatch
from pipeline.detect.accepted import EFFECT_AFTER_MS, acceptances
from pipeline.detect.model import Acceptance
from schemas.command import Command, Selector

DAYS = 3
CHANGE_MS = START_MS + DAYS * 86_400_000
CONFIG = DetectConfig()


def story() -> list[SignalBatch]:
    """Three days with a write now and then; then ten times as many, for good."""
    rows = signals(START_MS, DAYS * 24 * 12, DAYS * 86_400, action_kind="write")
    rows += signals(CHANGE_MS, 600, 6 * 3600, action_kind="write")
    return [*batches(rows, size=400), idle(len(rows), CHANGE_MS + 7 * 3_600_000)]


STORY = story()
ACCEPTED = Acceptance("accept_1", "prod", "invoice-agent", CHANGE_MS // 60_000)


def test_without_it_the_change_is_found_and_with_it_not() -> None:
    found = observe_all(Detection(CONFIG), STORY)
    assert {one.finding.detector for one in found} == {"write_burst"}
    accepting = Detection(CONFIG)
    accepting.accept([ACCEPTED])
    assert observe_all(accepting, STORY) == []


@pytest.mark.parametrize("environment", ["staging", ""])
def test_it_concerns_one_environment_or_all(environment: str) -> None:
    detection = Detection(CONFIG)
    detection.accept([ACCEPTED._replace(environment=environment)])
    assert bool(observe_all(detection, STORY)) == (environment == "staging")


def test_it_counts_once_and_whenever_it_was_heard_of_before_its_minute() -> None:
    late, restored = Detection(CONFIG), Detection(CONFIG)
    restored.accept([ACCEPTED])
    before = [one for one in STORY if one.start < 400]
    observe_all(late, before)
    late.accept([ACCEPTED])
    observe_all(restored, before)
    restored = Detection.restore(CONFIG, restored.snapshot())
    rest = STORY[len(before) :]
    after = signals(CHANGE_MS + 8 * 3_600_000, 3000, 3600, action_kind="write")
    more = [batch(after, start=STORY[-1].end), idle(STORY[-1].end + 3000, CHANGE_MS + 20 * 3_600_000)]
    found = observe_all(late, rest) + (late.accept([ACCEPTED]) or []) + observe_all(late, more)
    assert found, "the floor watches while it learns"
    assert identities(found) == identities(observe_all(restored, [*rest, *more]))


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

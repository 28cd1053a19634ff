"""A short form of `make test-faults`: one broker, two workers, a fault of each layer."""

from pathlib import Path

import pytest
from support.fault_run.arena import Plan
from support.fault_run.faults import KINDS, draw
from support.fault_run.run import FaultRun

pytestmark = [pytest.mark.kafka_apache, pytest.mark.timeout(300)]

SHORT = (
    "worker killed",
    "connections cut",
    "full disk",
    "broker paused",
    "clock jumps",
    "poison in a row",
    "pages refused",
)


def test_nothing_is_lost_or_twice_whatever_fails(tmp_path: Path) -> None:
    plan = Plan(
        seed=5,
        nodes=1,
        workers=2,
        partitions=4,
        per_second=60.0,
        plant_every_s=30,
        plant_first_s=4,
        pool_processes=0,
    )
    named = {kind.name: kind for kind in KINDS}
    run = FaultRun(plan, [named[name] for name in SHORT], tmp_path / "run", gap_events=60)
    outcome = run.run()
    report = outcome.report()
    assert outcome.failure is None, outcome.failure
    assert outcome.verdict.holds, outcome.verdict.wrong
    assert report["faults"] == len(SHORT)
    assert set(report["by_layer"]) == {kind.layer for kind in KINDS}
    assert report["rows"] >= report["messages"] > 500
    assert report["dead_letters"] > 10
    assert report["planted"] > 0


def test_a_seed_gives_one_schedule_with_every_kind_in_it() -> None:
    schedule = draw(11, 120, 3)
    assert schedule == draw(11, 120, 3)
    assert schedule != draw(12, 120, 3)
    assert set(schedule) == set(KINDS)
    assert all(schedule.count(kind) <= kind.at_most for kind in KINDS)

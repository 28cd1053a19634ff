"""A short form of `make fuzz-input`: mutated messages of every form through the whole pipeline."""

from pathlib import Path

import psutil
import pytest
from support.fuzz_input.minimise import defect, preparation
from support.fuzz_input.rounds import Message, drawn, run_round
from support.fuzz_input.seeds import FORMS, seeds

from pipeline.keys import Keys

CASES = sorted((Path(__file__).parents[1] / "decode" / "fuzzed").glob("*"))
"""What once did harm: `<form>.<defect>.<hash>`. None so far."""
COUNT = 1_000
MOST_MB = 768
"""What it may add to the process of the tests, models included."""


@pytest.mark.timeout(300)
def test_no_message_does_harm_and_each_has_a_row(tmp_path: Path) -> None:
    before_mb = psutil.Process().memory_info().rss >> 20
    found = seeds(7, use_shared=False)
    assert set(found) == set(FORMS)
    outcome = run_round(
        tmp_path / "run", drawn(7, COUNT, found), processes=0, names="off", detectors=["write_burst"]
    )
    assert outcome.failure is None, outcome.failure
    assert outcome.messages == COUNT
    assert set(outcome.forms) == set(FORMS)
    assert outcome.bodies > outcome.refused > 0
    assert outcome.rows >= outcome.stored >= COUNT - outcome.bodies
    assert 0.1 < outcome.dead_letters / outcome.rows < 0.9, "neither all broken nor all whole"
    assert outcome.rss_mb - before_mb < MOST_MB


def test_equal_seeds_give_equal_messages() -> None:
    found = seeds(3, use_shared=False)
    assert drawn(3, 50, found) == drawn(3, 50, found)
    assert drawn(3, 50, found) != drawn(4, 50, found)


def test_what_once_did_harm_does_none(tmp_path: Path) -> None:
    prepare = preparation(Keys(tmp_path)) if CASES else None
    for case in CASES:
        assert prepare is not None
        assert defect(prepare, Message(case.name.split(".")[0], case.read_bytes(), False)) is None, case.name

"""Order: however the partitions interleave and however they are cut, the findings are the same bytes."""

from collections import Counter

import pytest
from support.long import by_form
from support.signals import observe_all
from support.story import Story, config, settled

from detectors.registry import DETECTORS
from pipeline.detect import Found

pytestmark = pytest.mark.timeout(300)

SETTINGS, WITHOUT_STATISTICS = config(), config(statistics=False)
HOURS, DAYS = Story(short=True), Story(short=False)
INTERLEAVINGS = by_form(short=12, long=100)
STEP_HOURS = 12
"""What one partition of the story of days is ahead of another: ids are remembered for a day."""


def found_in_hours(seed: int) -> list[Found]:
    return observe_all(HOURS.begun(SETTINGS), HOURS.interleaved(seed))


def found_in_days(seed: int) -> list[Found]:
    return observe_all(DAYS.begun(WITHOUT_STATISTICS), DAYS.in_step(seed, STEP_HOURS))


@pytest.fixture(scope="module")
def hours() -> list[Found]:
    """What the first interleaving of the story of hours finds."""
    return found_in_hours(0)


@pytest.fixture(scope="module")
def days() -> list[Found]:
    """The same of the story of days."""
    return found_in_days(0)


def test_every_detector_that_ships_has_a_finding(hours: list[Found], days: list[Found]) -> None:
    assert {d.name for d in DETECTORS} - {f.finding.detector for f in [*hours, *days]} == set()


def test_the_story_has_repeats_and_late_events() -> None:
    detection = HOURS.begun(SETTINGS)
    found = observe_all(detection, HOURS.interleaved(0))
    assert detection.repeats > 50
    assert detection.late_events > 50
    assert any(f.late for f in found)


def test_all_interleavings_find_the_same(hours: list[Found]) -> None:
    expected = Counter(settled(hours))
    for seed in range(1, INTERLEAVINGS):
        found = Counter(settled(found_in_hours(seed)))
        assert found == expected, (seed, expected - found, found - expected)


@pytest.mark.parametrize("seed", by_form(short=[1], long=[1, 2]))
def test_days_interleaved_find_the_same(days: list[Found], seed: int) -> None:
    assert settled(found_in_days(seed)) == settled(days)

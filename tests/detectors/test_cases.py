"""Every detector's own cases, through the real fold."""

from pathlib import Path

import pytest

from detectors.base import Case, Detector
from detectors.registry import DETECTORS
from pipeline.detect.cases import failure_of
from pipeline.detect.config import DetectConfig
from schemas.signal import SIGNAL_SCHEMA

CASES = [(detector, case) for detector in DETECTORS for case in detector.cases]


@pytest.mark.parametrize(("detector", "case"), CASES, ids=lambda v: getattr(v, "name", ""))
def test_case(detector: type[Detector], case: Case) -> None:
    assert failure_of(detector, case, DetectConfig()) is None


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: d.name)
def test_a_detector_is_complete(detector: type[Detector]) -> None:
    assert any(case.fires for case in detector.cases), "no case that fires"
    assert any(not case.fires for case in detector.cases), "no case that stays quiet"
    assert set(detector.needs) <= set(SIGNAL_SCHEMA)
    assert (Path(__file__).parents[2] / detector.runbook).is_file()

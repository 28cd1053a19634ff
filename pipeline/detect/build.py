"""The detectors of a configuration: those that ship and are enabled, each with its section."""

from typing import Any

from detectors.acting_after_trip import ActingAfterTrip
from detectors.base import CountingDetector, Detector, RuleDetector
from detectors.registry import DETECTORS
from pipeline.detect.config import DetectConfig


def counting_detectors(config: DetectConfig) -> list[CountingDetector]:
    """Those that count, in the order of the registry."""
    return [_made(detector, config) for detector in _enabled(config) if hasattr(detector, "hits")]


def rule_detectors(config: DetectConfig) -> list[RuleDetector]:
    """Those that look at rows, but the one that the kill switch's trips are given to."""
    rules = [detector for detector in _enabled(config) if hasattr(detector, "observe")]
    return [_made(detector, config) for detector in rules if detector is not ActingAfterTrip]


def _enabled(config: DetectConfig) -> list[type[Detector]]:
    return [detector for detector in DETECTORS if getattr(config, detector.name).enabled]


def _made(detector: Any, config: DetectConfig) -> Any:
    return detector(getattr(config, detector.name))

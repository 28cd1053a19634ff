"""Every detector of a configuration with its state, for people."""

from typing import Any, NamedTuple

from detectors.base import Detector, DetectorConfig
from detectors.registry import DETECTORS
from pipeline.detect.build import lacks_rules
from pipeline.detect.config import DetectConfig
from pipeline.detect.own import own_detectors, own_settings


class Listed(NamedTuple):
    """One detector."""

    name: str
    finds: str
    """The first sentence of what its module says."""
    kind: str
    severity: str
    enabled: bool
    shadow: bool
    looks: bool
    """Whether it runs at all."""
    why_not: str | None
    learning: str | None
    """What it must have seen of an agent before it may speak; None: nothing."""
    origin: str
    """shipped, or the module that brings it."""
    runbook: str
    needs: tuple[str, ...]
    """Fields of events without which it is blind."""


def listed(config: DetectConfig) -> list[Listed]:
    """Those that ship, then one's own. Raises ConfigError for a module that cannot be loaded."""
    rows = [
        _listed(detector, getattr(config, detector.name), "shipped", lacks_rules(detector, config))
        for detector in DETECTORS
    ]
    for module, digest in config.module_digests.items():
        for detector in own_detectors({module: digest}):
            settings = own_settings(detector, config.own.get(detector.name, {}))
            rows.append(_listed(detector, settings, module, lacks=False))
    return rows


def kind_of(settings: DetectorConfig) -> str:
    """How it finds: by statistics, by a floor, by rule."""
    kinds: list[str] = []
    if getattr(settings, "statistic", None) is not None:
        kinds.append("statistical")
    if getattr(settings, "floor", None) is not None:
        kinds.append("floor")
    return ", ".join(kinds) or "rule"


def learning_of(settings: DetectorConfig) -> str | None:
    """What a statistic must have seen of an agent before it may speak."""
    statistic: Any = getattr(settings, "statistic", None)
    if statistic is None:
        return None
    events = f", {statistic.learning_events} events" if statistic.learning_events else ""
    hours = f", {statistic.learning_hours} hours since it was first seen" if statistic.learning_hours else ""
    return f"{statistic.learning_minutes} minutes{events}{hours}"


def _listed(detector: type[Detector], settings: DetectorConfig, origin: str, lacks: bool) -> Listed:
    why_not = "not enabled" if not settings.enabled else "no rule in the policy" if lacks else None
    return Listed(
        name=detector.name,
        finds=finds(detector),
        kind=kind_of(settings),
        severity=detector.severity,
        enabled=settings.enabled,
        shadow=settings.shadow,
        looks=why_not is None,
        why_not=why_not,
        learning=learning_of(settings),
        origin=origin,
        runbook=detector.runbook,
        needs=detector.needs,
    )


def finds(detector: type[Detector]) -> str:
    """What a detector finds, in one sentence: the first of its class's documentation."""
    text = " ".join((detector.__doc__ or "").split())
    return text.split(". ")[0].removesuffix(".") + "." if text else ""

"""The detectors of a configuration: those that are enabled, each with its section and its rules."""

from typing import Any

from detectors.acting_after_trip import ActingAfterTrip
from detectors.action_mix import ActionMix
from detectors.base import CountingDetector, Detector, DetectorConfig, RuleDetector, StatisticConfig
from detectors.budget import TRIP_TIMES
from detectors.canary import Canary
from detectors.latency import Latency
from detectors.registry import DETECTORS
from detectors.token_burst import TokenBurst
from pipeline.detect.action_shares import ActionShares
from pipeline.detect.call_tests import CallTest
from pipeline.detect.config import DetectConfig
from pipeline.detect.model import Part
from pipeline.detect.slow_calls import SlowCalls
from pipeline.detect.spent_tokens import SpentTokens
from pipeline.detect.trials import Trials

CALL_TESTS: dict[type[Detector], Any] = {
    Latency: SlowCalls,
    TokenBurst: SpentTokens,
    ActionMix: ActionShares,
    Canary: Trials,
}
"""What tests the calls for each of these detectors."""


def counting_detectors(config: DetectConfig) -> list[CountingDetector]:
    """Those that count, in the order of the registry."""
    return [_made(detector, config) for detector in _enabled(config) if hasattr(detector, "hits")]


def rule_detectors(config: DetectConfig, part: Part = "all") -> list[RuleDetector]:
    """Those that look at rows, but the one that the kill switch's trips are given to."""
    rules = [one for one in _enabled(config) if hasattr(one, "observe") and is_of(one, part)]
    return [_made(detector, config) for detector in rules if detector is not ActingAfterTrip]


def is_of(rule: RuleDetector | type[Detector], part: Part) -> bool:
    """Whether a rule runs in this part of detection."""
    across_agents: bool = getattr(rule, "across_agents", False)
    return part == "all" or across_agents == (part == "fleet")


def call_tests(config: DetectConfig) -> list[CallTest]:
    """Those that compare calls with what is pinned."""
    return [CALL_TESTS[d](_made(d, config)) for d in _enabled(config) if d in CALL_TESTS]


def _enabled(config: DetectConfig) -> list[type[Detector]]:
    """A detector of a policy's table is not even made where the table has no rule."""
    enabled = [detector for detector in DETECTORS if getattr(config, detector.name).enabled]
    return [detector for detector in enabled if not lacks_rules(detector, config)]


def lacks_rules(detector: type[Detector], config: DetectConfig) -> bool:
    """Whether it needs rules of the policy, and there are none."""
    return _rules(detector, config) == () and not getattr(detector, "policy_optional", False)


def _rules(detector: type[Detector], config: DetectConfig) -> Any:
    """The rules of the policy that a detector is made with; None where it needs none."""
    table = getattr(detector, "policy", None)
    return None if table is None else getattr(config.policy, table)


def _made(detector: Any, config: DetectConfig) -> Any:
    settings, rules = budgeted(getattr(config, detector.name), config), _rules(detector, config)
    return detector(settings) if rules is None else detector(settings, rules)


def budgeted(settings: DetectorConfig, config: DetectConfig) -> DetectorConfig:
    """With the thresholds that the budget gives, where a statistic states none."""
    statistic = getattr(settings, "statistic", None)
    if not isinstance(statistic, StatisticConfig):
        return settings
    page = statistic.page_at or config.page_at
    own = {"page_at": page, "trip_at": statistic.trip_at or page * TRIP_TIMES}
    return settings.model_copy(update={"statistic": statistic.model_copy(update=own)})

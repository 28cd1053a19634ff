"""The moments that a plot marks. Pure."""

from pipeline.respond.insight import Insight
from pipeline.respond.plot_svg import Mark

_SHORT = {
    "version": "new version",
    "configuration": "new configuration",
    "model": "new model",
    "dependency": "fails for others",
    "target": "new target",
    "tool": "new tool",
    "principal": "new principal",
    "credential": "new credential",
}
MAX_MARKS = 3


def marks_of(insight: Insight) -> list[Mark]:
    """The likeliest cause and the first trips, no more than a reader takes in."""
    causes = [Mark(cause.at_ms, _SHORT[cause.kind]) for cause in insight.causes[:1]]
    trips = [Mark(entry.at_ms, "tripped") for entry in insight.record if entry.what.startswith("trip ")]
    return [*causes, *trips[:2]][:MAX_MARKS]

"""A plot of what another configuration changes. Needs Matplotlib, which the extra `plots` brings."""

from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from pipeline.replay.report import ChangeReport

COLOURS = {"same": "#8a8f98", "new": "#d1495b", "gone": "#2e7d6b", "earlier": "#3b6fb6", "later": "#e0a030"}
"""Told apart by those who see no red or green too: they differ in lightness."""


def draw(report: ChangeReport, path: Path) -> None:
    """One row a detector, one mark an alarm, coloured by what changes. Raises ConfigError."""
    figure, axes = _subplots(height=1.6 + 0.4 * len(report.detectors))
    names = sorted(report.detectors)
    for change, colour in COLOURS.items():
        chosen = [one for one in report.changes if one.change == change]
        days = [(one.at_ms - report.from_ms) / 86_400_000 for one in chosen]
        rows = [names.index(one.detector) for one in chosen]
        axes.scatter(days, rows, color=colour, label=f"{change} ({len(chosen)})", s=28, alpha=0.9)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(0, max(report.days, 1e-3))
    axes.set_xlabel("days of the span")
    axes.set_title("Alarms under the other configuration")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=5, frameon=False)
    figure.savefig(path, bbox_inches="tight", dpi=120)


def _subplots(height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("--plot needs Matplotlib: pip install 'auditfuse[plots]'") from None
    figure = Figure(figsize=(9, height))
    return figure, figure.subplots()

"""The plot as PNG, for pages to targets that take one. Needs Matplotlib, which the extra `plots` brings."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module

from pipeline.respond.plot_svg import Mark, nice_top
from pipeline.respond.series import MINUTE_MS, Series, number

HIT, BEFORE, USUAL, MARK = "#c0392b", "#9aa1ab", "#1d7a5f", "#1f5fa8"

MARGINS = {"left": 0.085, "right": 0.985, "top": 0.9, "bottom": 0.17}
"""Fixed, and no bar where nothing was found: a page waits for its plot, and fitting takes half of it."""


def warm_up() -> bool:
    """Load Matplotlib, which takes about a second; False where it is not installed."""
    try:
        import_module("matplotlib.backends.backend_agg")
    except ImportError:
        return False
    return True


def draw(series: Series, title: str, marks: Sequence[Mark] = ()) -> bytes | None:
    """PNG bytes, the same for the same values; None where Matplotlib is not installed."""
    if not warm_up():
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), dpi=110)
    axes = figure.add_subplot()
    figure.subplots_adjust(**MARGINS)
    minutes = range(len(series.hits))
    onset = (series.onset_ms - series.start_ms) / MINUTE_MS
    found = [m for m in minutes if series.hits[m]]
    axes.bar(
        found,
        [series.hits[m] for m in found],
        width=0.9,
        align="edge",
        color=[HIT if m + 1 > onset else BEFORE for m in found],
    )
    if series.usual is not None:
        axes.axhline(series.usual, color=USUAL, linestyle="--", linewidth=1)
        axes.annotate(
            f"normal: {number(series.usual)} a minute", (0, series.usual), xytext=(4, 4),
            textcoords="offset points", color=USUAL, fontsize=8,
        )  # fmt: skip
    for mark in marks:
        at = (mark.at_ms - series.start_ms) / MINUTE_MS
        if 0 <= at <= len(series.hits):
            axes.axvline(
                at, color=MARK, linestyle="--", linewidth=1, label=f"{mark.label} {_clock(mark.at_ms)}"
            )
    ticks = [m for m in minutes if (series.start_ms // MINUTE_MS + m) % 15 == 0]
    axes.set_xticks(ticks, [_clock(series.start_ms + m * MINUTE_MS) for m in ticks])
    axes.set_xlim(0, len(series.hits))
    axes.set_ylim(0, nice_top(max(series.hits, default=0)))
    axes.set_title(title, fontsize=9, loc="left", parse_math=False)
    axes.set_xlabel("UTC; found a minute", fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if marks:
        axes.legend(loc="upper left", frameon=False, fontsize=8)
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content, metadata={"Software": None})
    return content.getvalue()


def sample_plot(now_ms: int) -> bytes | None:
    """A plot of made-up counts; None where Matplotlib is not installed."""
    hits = [2, 3, 1, 2] * 15 + [14, 22, 19, 24, 21]
    start_ms = (now_ms // MINUTE_MS - len(hits)) * MINUTE_MS
    made_up = Series(start_ms=start_ms, hits=hits, rows=hits, onset_ms=start_ms + 60 * MINUTE_MS)
    return draw(made_up, "auditfuse test page: made-up counts")


def _clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M")

"""The plot as SVG, for the incident page and the evidence bundle. Pure: the same series, the same text.

Colours come from the page's style sheet by class; alone, as a file, it brings a style of its own.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple

from pipeline.respond.series import MINUTE_MS, Series, in_words, number

WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 26, 26
STYLE = (
    "svg{background:#fff;font:12px sans-serif}.axis{stroke:#9aa1ab}.grid{stroke:#e3e6ea}.label{fill:#4a525c}"
    ".bar{fill:#9aa1ab}.bad{fill:#c0392b}.mark{stroke:#1f5fa8;stroke-dasharray:4 3}.mark-label{fill:#1f5fa8}"
    ".usual{stroke:#1d7a5f;stroke-dasharray:6 4}.usual-label{fill:#1d7a5f}"
)


class Mark(NamedTuple):
    """A moment that is drawn as a line."""

    at_ms: int
    label: str


def draw(
    series: Series,
    marks: Sequence[Mark] = (),
    *,
    width: int = WIDTH,
    name: str = "plot",
    is_file: bool = False,
) -> str:
    """An `svg` element, `width` units wide; `name` tells two of one page apart; `is_file`: it stands
    alone."""
    scale = _Scale(series, width)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" role="img" '
        f'class="plot {name}" aria-labelledby="{name}-title">',
        f'<title id="{name}-title">What was found, minute by minute: {escape(in_words(series))}</title>',
        *([f"<style>{STYLE}</style>"] if is_file else []),
        *_grid(scale),
        *_bars(series, scale),
        *_usual(series, scale),
        *_marks(marks, scale),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class _Scale:
    """From minutes and counts to points."""

    def __init__(self, series: Series, width: int) -> None:
        self.right = width - RIGHT
        self.start_ms = series.start_ms
        self.minutes = max(len(series.hits), 1)
        self.top = nice_top(max(series.hits, default=0))
        self.step = (self.right - LEFT) / self.minutes

    def x(self, at_ms: float) -> float:
        return LEFT + (at_ms - self.start_ms) / MINUTE_MS * self.step

    def y(self, count: float) -> float:
        return HEIGHT - BOTTOM - count / self.top * (HEIGHT - TOP - BOTTOM)


def nice_top(peak: int) -> int:
    """The least of 4, 10, 20, 40, 100, … that holds `peak`: it halves into whole numbers."""
    top = 4
    while top < peak:
        top = top * 5 // 2 if str(top).startswith("4") else top * 2
    return top


def _grid(scale: _Scale) -> Iterator[str]:
    for count in (0, scale.top // 2, scale.top):
        y = scale.y(count)
        kind = "grid" if count else "axis"
        yield f'<line class="{kind}" x1="{LEFT}" x2="{scale.right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="label" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{count:,}</text>'
    every_ms = 15 * MINUTE_MS * max(1, round(scale.minutes * 60 / (scale.right - LEFT) / 7))
    first = -(-scale.start_ms // every_ms) * every_ms
    for at_ms in range(first, scale.start_ms + scale.minutes * MINUTE_MS, every_ms):
        x = scale.x(at_ms)
        if LEFT + 12 <= x <= scale.right - 12:
            place = f'x="{x:.1f}" y="{HEIGHT - 8}"'
            yield f'<text class="label" {place} text-anchor="middle">{_clock(at_ms)}</text>'


def _bars(series: Series, scale: _Scale) -> Iterator[str]:
    width = max(scale.step - 1, 0.8)
    for minute, count in enumerate(series.hits):
        if count == 0:
            continue
        at_ms = series.start_ms + minute * MINUTE_MS
        kind = "bar bad" if at_ms + MINUTE_MS > series.onset_ms else "bar"
        y = scale.y(count)
        yield (
            f'<rect class="{kind}" x="{scale.x(at_ms):.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{HEIGHT - BOTTOM - y:.1f}"><title>{_clock(at_ms)}: {count:,}</title></rect>'
        )


def _usual(series: Series, scale: _Scale) -> Iterator[str]:
    if series.usual is None:
        return
    y = scale.y(series.usual)
    yield f'<line class="usual" x1="{LEFT}" x2="{scale.right}" y1="{y:.1f}" y2="{y:.1f}"/>'
    label = f"normal: {number(series.usual)} a minute"
    yield f'<text class="usual-label" x="{LEFT + 6}" y="{y - 5:.1f}">{label}</text>'


def _marks(marks: Sequence[Mark], scale: _Scale) -> Iterator[str]:
    for row, mark in enumerate(sorted(marks)):
        x = scale.x(mark.at_ms)
        if not LEFT <= x <= scale.right:
            continue
        side, shift = ("start", 4) if x < scale.right / 3 else ("end", -4)
        yield f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 12}" y2="{HEIGHT - BOTTOM}"/>'
        yield (
            f'<text class="mark-label" x="{x + shift:.1f}" y="{TOP + 2 + 14 * row}" text-anchor="{side}">'
            f"{escape(mark.label)} {_clock(mark.at_ms)}</text>"
        )


def _clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M")

"""What every measurement shares: its arguments, costs in interleaved rounds, one table, one JSON file.

CPU seconds are those of this process, all its threads included: unlike wall time they bear a busy machine, so
every ratio is one of CPU seconds, taken within a round and then the median of the rounds.
"""

import argparse
import functools
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
LINE_CHARS = 120


class Arguments(NamedTuple):
    """How a measurement was asked for."""

    quick: bool
    """Tiny sizes: shows that it works; its figures mean nothing."""
    rounds: int
    out: Path
    """The folder of the JSON file."""
    names: str = ""
    """Who finds names, where the measurement asks; empty for the default."""


class Cost(NamedTuple):
    """What one run took."""

    wall_s: float
    cpu_s: float


Figure = float | int | str | None | Mapping[str, float | None]


class Report:
    """Collects a measurement's tables, notes and figures; prints Markdown, writes `<out>/<name>.json`."""

    def __init__(self, name: str, arguments: Arguments) -> None:
        self._name = name
        self._arguments = arguments
        self._lines: list[str] = []
        self.figures: dict[str, Figure] = {}

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A Markdown table; the first column is text, the others numbers."""
        self._lines += ["", "| " + " | ".join(headers) + " |", "|---|" + "---:|" * (len(headers) - 1)]
        self._lines += ["| " + " | ".join(row) + " |" for row in rows]

    def note(self, text: str) -> None:
        """A paragraph."""
        self._lines += ["", *textwrap.wrap(text, LINE_CHARS, break_on_hyphens=False)]

    def finish(self) -> None:
        """Print everything and write the figures."""
        arguments = self._arguments
        quick = " --quick: these figures mean nothing." if arguments.quick else ""
        rounds = f"; medians of {arguments.rounds} rounds" if arguments.rounds > 1 else ""
        print(f"### make {self._name}\n\n{machine()}{rounds}.{quick}")
        print("\n".join(self._lines), flush=True)
        about = {
            "name": self._name,
            "machine": machine(),
            "rounds": arguments.rounds,
            "quick": arguments.quick,
        }
        arguments.out.mkdir(parents=True, exist_ok=True)
        path = arguments.out / f"{self._name}.json"
        path.write_text(json.dumps(about | self.figures, indent=2) + "\n")


def parse_arguments(
    description: str | None, argv: Sequence[str] | None, *, rounds: int = 5, names: Sequence[str] = ()
) -> Arguments:
    """The command line; `rounds` is the default of `--rounds`, `names` the choices of `--names`, if any."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only shows that it works")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"medians of so many (default {rounds})")
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="where the JSON file goes")
    if names:
        parser.add_argument("--names", choices=names, default="", help="who finds names (default: as set)")
    parsed = parser.parse_args(argv)
    rounds = 1 if parsed.quick else max(1, parsed.rounds)
    return Arguments(parsed.quick, rounds, parsed.out, getattr(parsed, "names", ""))


def machine() -> str:
    """The processor, its cores, the operating system, Python."""
    cores = os.cpu_count()
    system = platform.system()
    return f"{_processor()}, {cores} cores, {system}, Python {platform.python_version()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def timed(run: Callable[[], object]) -> Cost:
    """The cost of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def compare(runs: Mapping[str, Callable[[], Cost]], rounds: int) -> dict[str, list[Cost]]:
    """Each run once to warm up, then all of them in turn, `rounds` times: what disturbs meets all alike."""
    for run in runs.values():
        run()
    costs: dict[str, list[Cost]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            costs[name].append(run())
    return costs


def median(costs: Sequence[Cost]) -> Cost:
    """The median wall and the median CPU seconds, each for itself."""
    return Cost(statistics.median(c.wall_s for c in costs), statistics.median(c.cpu_s for c in costs))


def ratio(costs: Sequence[Cost], of: Sequence[Cost]) -> float:
    """How many times the CPU of `of` it took: the median over the rounds."""
    return statistics.median(a.cpu_s / b.cpu_s for a, b in zip(costs, of, strict=True))


def goal(what: str, figure: float | None, asked: float, *, most: bool = False) -> list[str]:
    """A row of a table of targets: the figure, at least (or at most) how much is asked, whether it misses."""
    if figure is None:
        return [what, "", "", "not measured"]
    holds = figure <= asked if most else figure >= asked
    return [what, show(figure), f"{'≤' if most else '≥'} {asked:,}", "" if holds else "missed"]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


@functools.cache
def scratch() -> "tempfile.TemporaryDirectory[str]":
    """A folder of this process, for keys and the like; deleted as the process ends."""
    return tempfile.TemporaryDirectory(prefix="auditfuse-bench-")


def shared(name: str) -> Path:
    """A file of the shared data beside the checkout. Says so and exits with 2 where it is not there."""
    path = SHARED / name
    if not path.exists():
        print(f"../shared/data/{name} is not there: this measurement needs it", file=sys.stderr)
        raise SystemExit(2)
    return path


def show(value: float, digits: int = 3) -> str:
    """A number for a table: at most `digits` significant digits."""
    if value >= 10 ** (digits - 1):
        step = 10 ** max(0, len(str(int(value))) - digits)
        return f"{round(value / step) * step:,}"
    return f"{value:.{digits}g}"


def peak_rss_mb() -> float:
    """The most memory that this process has held."""
    import resource

    peak: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)

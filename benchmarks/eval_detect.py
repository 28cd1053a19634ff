"""False pages and delays of detection in a simulated month, beside the rules people use today."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detect_runs import ASKED_RATE, Ours, Size, Theirs, run_ours, run_theirs, statistical_detectors
from benchmarks.fleet import Floats
from benchmarks.planted import FAULT_MINUTES, SIZES, simulated
from benchmarks.report import ROOT, Arguments, Report, goal, show

HELD_OUT_SEED, TUNING_SEED = 2026, 4
"""The figures' fleet, on which nothing was tuned; and the fleet that the rules are tuned on."""
FULL, QUICK = Size(1000, 30), Size(30, 3)
QUICK_DETECTORS = 2
ALLOWED_A_DAY = 0.5
RIVALS_LEAST, RIVALS_TIMES = 5.0, 10.0
"""A rule may page falsely so often a day, or so many times as often as we do, whichever is more."""
RATES = ((0.05, 0.5), (0.5, 5.0), (5.0, np.inf))


def main(argv: Sequence[str] | None = None) -> None:
    """Simulate, print, write build/eval-detect.json."""
    parsed = _parse(argv)
    report = Report("eval-detect", Arguments(parsed.quick, 1, parsed.out))
    size = QUICK if parsed.quick else Size(parsed.agents, parsed.days)
    names = parsed.detectors or statistical_detectors()[: QUICK_DETECTORS if parsed.quick else None]
    run = _here if parsed.quick else _side_by_side
    ours: list[Ours] = run(run_ours, [(name, parsed.seed, size) for name in names])
    false_a_day = sum(one.false_pages for one in ours) / size.days
    budget = max(RIVALS_LEAST, RIVALS_TIMES * false_a_day)
    theirs: list[list[Theirs]] = []
    if not parsed.no_rules:
        seeds = (TUNING_SEED, parsed.seed)
        theirs = run(run_theirs, [(name, seeds, size, budget / len(names)) for name in names])
    _tables(report, ours, size)
    _rules(report, ours, theirs, (false_a_day, budget))
    _goals(report, ours, theirs, size)
    report.finish()


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only shows that it works")
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="where the JSON file goes")
    parser.add_argument(
        "--seed", type=int, default=HELD_OUT_SEED, help="of the fleet; tune on others than the default"
    )
    parser.add_argument("--agents", type=int, default=FULL.agents)
    parser.add_argument("--days", type=int, default=FULL.days)
    parser.add_argument("--detectors", nargs="*", choices=simulated(), help="only these")
    parser.add_argument("--no-rules", action="store_true", help="leave out the rules people use today")
    return parser.parse_args(argv)


def _here(run: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [run(*task) for task in tasks]


def _side_by_side(run: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
    """On all cores, one thread each; says on a terminal how far it is."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = "1"  # read as the libraries are imported, in the child
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(run, *task): task[0] for task in tasks}
        for done, future in enumerate(as_completed(futures), 1):
            if sys.stderr.isatty():
                print(f"{run.__name__}: {futures[future]} done, {done} of {len(tasks)}", file=sys.stderr)
        return [future.result() for future in futures]


def _tables(report: Report, ours: Sequence[Ours], size: Size) -> None:
    headers = [
        "detector",
        "false pages a day",
        "within a day of a release",
        "false trips",
        "floor pages a day",
    ]
    headers += [f"×{s:.0f} {what}" for s in SIZES for what in ("found", "median, min", "p95, min")]
    rows = [
        [
            one.detector,
            show(one.false_pages / size.days),
            str(one.false_after_release),
            str(one.false_trips),
            show(one.floor_false_pages / size.days),
            *(
                cell
                for s in SIZES
                for cell in _found(one.delays[(one.sizes == s) & (one.rates >= ASKED_RATE)])
            ),
        ]
        for one in ours
    ]
    report.table(headers, rows)
    report.note(
        f"{size.agents:,} agents, {size.days} days. Faults last {FAULT_MINUTES // 60} hours. Counted are "
        f"those at {ASKED_RATE} events a minute and more (hits of a rate, eligible ones of a ratio), as they "
        "would be expected meanwhile without the fault. Pages after a release count as false. Floors need "
        "no learning and are no part of the other columns."
    )
    cells = [(low, high, s) for low, high in RATES for s in SIZES]
    report.table(
        ["detector", *(f"×{s:.0f} at {low:g}–{high:g} a minute" for low, high, s in cells)],
        [[one.detector, *(_cell(one, low, high, s) for low, high, s in cells)] for one in ours],
    )
    report.note("Share found, and the median minutes, by the agent's rate.")


def _cell(one: Ours, low: float, high: float, size: float) -> str:
    return ", ".join(_found(one.delays[(one.sizes == size) & (one.rates >= low) & (one.rates < high)])[:2])


def _found(delays: Floats) -> list[str]:
    if not len(delays):
        return ["–", "–", "–"]
    share = float(np.isfinite(delays).mean())
    return [
        f"{share:.0%}",
        _minutes(np.quantile(delays, 0.5, method="higher")),
        _minutes(np.quantile(delays, 0.95, method="higher")),
    ]


def _minutes(value: float) -> str:
    return f"{value:.0f}" if np.isfinite(value) else "missed"


def _rules(
    report: Report, ours: Sequence[Ours], theirs: Sequence[Sequence[Theirs]], pages: tuple[float, float]
) -> None:
    """`pages`: our false pages a day, and those that the rules were allowed."""
    if not theirs:
        return
    false_a_day, budget = pages
    by_rule = _by_rule(theirs)
    asked = [one.rates >= ASKED_RATE for one in ours]
    rows = [["auditfuse", show(false_a_day), *_delay_cells([one.delays for one in ours], ours, asked)]]
    for name, ruled in by_rule.items():
        false = sum(one.false_pages / one.days for one in ruled)
        rows.append([name, show(false), *_delay_cells([one.delays for one in ruled], ours, asked)])
    report.table(
        [
            "all detectors together",
            "false pages a day",
            "median, min",
            "×3 median",
            "×10 median",
            "×10 found",
        ],
        rows,
    )
    report.note(
        f"Each rule may make {show(budget)} false pages a day in all. Its threshold, window and least count "
        f"are chosen by search on another fleet (seed {TUNING_SEED}), for each detector's stream by itself. "
        f"In medians a missed fault counts as its {FAULT_MINUTES} minutes."
    )
    report.table(
        ["detector", *by_rule, "auditfuse"],
        [
            [
                one.detector,
                *(_rule_cell(rules, name, mask) for name in by_rule),
                _median_text(one.delays[mask]),
            ]
            for one, rules, mask in zip(ours, theirs, asked, strict=True)
        ],
    )
    report.note("Median minutes to find the faults asked for, and the variant that was chosen.")


def _by_rule(theirs: Sequence[Sequence[Theirs]]) -> dict[str, list[Theirs]]:
    names = list(dict.fromkeys(one.rule for ruled in theirs for one in ruled))
    return {name: [one for ruled in theirs for one in ruled if one.rule == name] for name in names}


def _delay_cells(
    delays: Sequence[Floats], ours: Sequence[Ours], asked: Sequence[NDArray[np.bool_]]
) -> list[str]:
    all_, sizes = (
        np.concatenate([d[m] for d, m in zip(delays, asked, strict=True)]),
        np.concatenate([one.sizes[m] for one, m in zip(ours, asked, strict=True)]),
    )
    found = f"{np.isfinite(all_[sizes == SIZES[-1]]).mean():.1%}" if (sizes == SIZES[-1]).any() else "–"
    return [_median_text(all_), *(_median_text(all_[sizes == s]) for s in SIZES), found]


def _median_text(delays: Floats) -> str:
    return show(_median(delays)) if len(delays) else "–"


def _rule_cell(ruled: Sequence[Theirs], name: str, mask: NDArray[np.bool_]) -> str:
    one = next(r for r in ruled if r.rule == name)
    return f"{_median_text(one.delays[mask])} ({one.variant})"


def _median(delays: Floats) -> float:
    return float(np.median(np.minimum(delays, FAULT_MINUTES))) if len(delays) else float(FAULT_MINUTES)


def _goals(report: Report, ours: Sequence[Ours], theirs: Sequence[Sequence[Theirs]], size: Size) -> None:
    asked = [one.rates >= ASKED_RATE for one in ours]
    large = np.concatenate(
        [one.delays[m & (one.sizes == SIZES[-1])] for one, m in zip(ours, asked, strict=True)]
    )
    found_share = float(np.isfinite(large).mean()) if len(large) else 0.0
    false_pages = sum(one.false_pages for one in ours) / size.days
    false_trips = sum(one.false_trips for one in ours)
    ratio = None
    if theirs:
        mine = _median(np.concatenate([one.delays[m] for one, m in zip(ours, asked, strict=True)]))
        best = min(
            _median(np.concatenate([one.delays[m] for one, m in zip(ruled, asked, strict=True)]))
            for ruled in _by_rule(theirs).values()
        )
        ratio = mine / best
    report.table(
        ["target", "figure", "asked", ""],
        [
            goal("false pages a day, all statistical detectors", false_pages, ALLOWED_A_DAY, most=True),
            goal("false trips", false_trips, 0, most=True),
            goal(f"share of ×10 faults found, from {ASKED_RATE} events a minute", found_share, 0.95),
            goal("our median delay, of the best rule's", ratio, 0.5, most=True),
        ],
    )
    report.figures |= {
        "false_pages_per_day": false_pages,
        "false_trips": false_trips,
        "found_share": found_share,
        "delay_ratio_best_rule": ratio,
        "false_pages_per_day_by_detector": {one.detector: one.false_pages / size.days for one in ours},
        "found_share_by_detector": {
            one.detector: float(np.isfinite(one.delays[m & (one.sizes == SIZES[-1])]).mean())
            if (m & (one.sizes == SIZES[-1])).any()
            else None
            for one, m in zip(ours, asked, strict=True)
        },
    }


if __name__ == "__main__":
    sys.exit(main())

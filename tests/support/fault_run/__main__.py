"""`make test-faults`: about half an hour of faults on a real cluster, and injected ones of the fault matrix.

    python -m support.fault_run [--minutes 30] [--faults 130] [--seed N] [--brokers 3] [--kinds NAME,NAME]

The schedule is drawn from the seed: with the same seed and options it is the same again.
"""

import argparse
import logging
import shutil
import sys
import time
from pathlib import Path

import structlog
from support.fault_run.arena import Plan
from support.fault_run.faults import KINDS, draw
from support.fault_run.injected import inject_at_calls
from support.fault_run.run import FaultRun, write_report

ROOT = Path(__file__).resolve().parents[3]
NODE_MB = 700
FREE_MB = 3_000
"""What the workers and the harness need besides the brokers."""


def main() -> int:
    """Run it; 0 where everything holds."""
    options = _options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # of the harness: brokers that are away
    nodes = options.brokers or (3 if _available_mb() > 3 * NODE_MB + FREE_MB else 1)
    plan = Plan(seed=options.seed, nodes=nodes, workers=options.workers, newer=options.newer)
    schedule = draw(options.seed, options.faults, nodes)
    if options.kinds:
        named = {kind.name: kind for kind in KINDS}
        schedule = [named[name] for name in options.kinds.split(",")]
    folder = options.folder or ROOT / "build" / "fault-run"
    shutil.rmtree(folder, ignore_errors=True)
    outcome = FaultRun(plan, schedule, folder, gap_events=options.gap_events).run(
        until_s=options.minutes * 60
    )
    matrix = inject_at_calls(options.injected)
    report = write_report(outcome, matrix, ROOT / "build")
    for name in ("faults", "injected", "lost", "twice", "changed", "unverified", "holds"):
        print(f"{name}: {report[name]}")
    return 0 if report["holds"] and report["injected_failures"] == 0 else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30, help="no fault begins after so long")
    parser.add_argument("--faults", type=int, default=130)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--brokers", type=int, choices=(1, 2, 3), help="3 where memory allows, else 1")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--gap-events", type=int, default=1_000, help="sealed between two faults, at least")
    parser.add_argument("--injected", type=int, default=1_000, help="faults at the file and client layer")
    parser.add_argument("--newer", type=Path, help="a checkout that the rolling upgrades go to")
    parser.add_argument("--kinds", help="these faults in this order, in place of a schedule")
    parser.add_argument("--folder", type=Path, help="where everything is left to look at")
    return parser.parse_args()


def _available_mb() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) // 1024
    return 0


if __name__ == "__main__":
    sys.exit(main())

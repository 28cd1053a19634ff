"""`make bench`: how fast it is, stage by stage and end to end, beside what else one could run.

Against a real Kafka broker of its own, its topics loaded beforehand. Progress goes to standard error; the
figures are written as each part finishes, so that a run that is cut short has what it measured.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import whole as parts
from benchmarks import whole_system
from benchmarks.cluster import cluster
from benchmarks.report import ROOT, Arguments, shared

PARTS = parts.PARTS | whole_system.PARTS


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write build/bench.json; 1 where a part failed, whose figures are missing then."""
    asked = _arguments(argv)
    rounds = 1 if asked.quick else max(1, asked.rounds)
    sizes = parts.QUICK if asked.quick else parts.Sizes(seconds=asked.seconds)
    shared("traces/taubench.events.ndjson.gz")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="auditfuse-bench-", dir=asked.scratch) as folder:
        with cluster(Path(folder), asked.bootstrap) as broker:
            bench = parts.Bench(
                arguments=Arguments(asked.quick, rounds, asked.out),
                sizes=sizes,
                cluster=broker,
                folder=Path(folder),
                rivals=asked.rivals,
            )
            for name, measure in PARTS.items():
                if not asked.only or name in asked.only:
                    failed += not _told(name, measure, bench)
        bench.report.finish()
    return int(failed > 0)


def _told(name: str, measure: Callable[[parts.Bench], None], bench: parts.Bench) -> bool:
    """Measure one part; False where that failed: the others are measured all the same."""
    began = time.monotonic()
    print(f"{name} …", file=sys.stderr, flush=True)
    try:
        measure(bench)
    except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever it is, hours of others are not lost)
        print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        bench.report.note(f"*{name}* failed: {type(error).__name__}.")
        return False
    bench.report.save()
    print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return True


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only shows that it works")
    parser.add_argument("--rounds", type=int, default=5, help="medians of so many (default 5)")
    parser.add_argument("--seconds", type=float, default=60.0, help="each file end to end (default 60)")
    parser.add_argument("--rivals", action="store_true", help="Phoenix and MLflow too, installed for it")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=(), help="these parts alone")
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="where the JSON file goes")
    parser.add_argument("--scratch", type=Path, default=None, help="a folder for topics and stores")
    parser.add_argument("--bootstrap", default=None, help="a broker that runs already, in place of its own")
    return parser.parse_args(argv)


if __name__ == "__main__":
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ.setdefault(_name, "1")
    sys.exit(main())

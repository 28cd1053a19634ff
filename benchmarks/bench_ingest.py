"""`auditfuse ingest` end to end: a file in, sealed rows out, in processes of their own."""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.report import SHARED, Arguments, Report, parse_arguments, show
from benchmarks.rows import generated_events
from benchmarks.served import PROGRAM
from benchmarks.traces import FILES

GENERATED_EVENTS = 5_000


class Run(NamedTuple):
    """One `auditfuse ingest` into an empty store."""

    rows: int
    wall_s: float
    cpu_s: float
    """Of the command and its processes."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write build/bench-ingest.json."""
    arguments = parse_arguments(__doc__, argv, rounds=1)
    report = Report("bench-ingest", arguments)
    with tempfile.TemporaryDirectory(prefix="auditfuse-bench-") as folder:
        runs = _measure(Path(folder), arguments)
    start = runs.pop("one event")
    report.table(
        ["file", "events", "events/s", "CPU-s per 1,000", "after the start: events/s", "CPU-s per 1,000"],
        [_row(name, run, start) for name, run in runs.items()],
    )
    report.note(
        "The default configuration (one process redacts, names by the tagger), "
        "`auditfuse ingest` as a command: local topic, decode, redact, chain, seal, detect, "
        f"catalog. A file of one event takes {show(start.wall_s)} s and {show(start.cpu_s)} CPU-s: "
        "that is the start (imports, models), counted in all but the last two columns."
    )
    if "native traces" not in runs and not arguments.quick:
        report.note("The real traces are not there (../shared/data): only the generated file was measured.")
    report.figures |= {
        "events_per_s": {name: run.rows / run.wall_s for name, run in runs.items()},
        "events_per_s_after_start": {name: _after_start(run, start) for name, run in runs.items()},
        "cpu_s_per_1000_events": {name: 1000 * run.cpu_s / run.rows for name, run in runs.items()},
        "cpu_s_per_1000_events_after_start": {name: _cpu_after_start(r, start) for name, r in runs.items()},
        "start_s": start.wall_s,
        "start_cpu_s": start.cpu_s,
    }
    report.finish()


def _measure(folder: Path, arguments: Arguments) -> dict[str, Run]:
    one, generated = folder / "one.ndjson", folder / "generated.ndjson"
    _write(one, 1)
    _write(generated, 50 if arguments.quick else GENERATED_EVENTS)
    files = {"one event": one, "generated": generated}
    native = SHARED / FILES["native"][0]
    if native.exists() and not arguments.quick:
        files["native traces"] = native
    if not arguments.quick:
        _ingest(folder / "warm-up", one, arguments)
    runs: dict[str, list[Run]] = {name: [] for name in files}
    for number in range(arguments.rounds):
        for name, path in files.items():
            runs[name].append(_ingest(folder / f"{name}-{number}".replace(" ", "-"), path, arguments))
    return {name: _median(several) for name, several in runs.items()}


def _write(path: Path, events: int) -> None:
    encode = msgspec.json.Encoder().encode
    path.write_bytes(b"".join(encode(event) + b"\n" for event in generated_events(events)))


def _ingest(folder: Path, file: Path, arguments: Arguments) -> Run:
    folder.mkdir()
    # Quick, it is not about redaction, whose models take seconds to load.
    settings = "[redaction]\nenabled = false\n[worker]\nprocesses = 0\n" if arguments.quick else ""
    (folder / "auditfuse.toml").write_text(settings)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AUDITFUSE_")}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [PROGRAM, "ingest", "--json", file],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"auditfuse ingest failed:\n{done.stderr}")
    rows = json.loads(done.stdout)["rows"]
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(rows, wall_s, cpu_s)


def _median(runs: Sequence[Run]) -> Run:
    return Run(
        runs[0].rows, statistics.median(r.wall_s for r in runs), statistics.median(r.cpu_s for r in runs)
    )


def _after_start(run: Run, start: Run) -> float:
    return run.rows / max(run.wall_s - start.wall_s, 0.001)


def _cpu_after_start(run: Run, start: Run) -> float:
    return 1000 * max(run.cpu_s - start.cpu_s, 0.0) / run.rows


def _row(name: str, run: Run, start: Run) -> list[str]:
    return [
        name,
        f"{run.rows:,}",
        show(run.rows / run.wall_s),
        show(1000 * run.cpu_s / run.rows),
        show(_after_start(run, start)),
        show(_cpu_after_start(run, start)),
    ]


if __name__ == "__main__":
    sys.exit(main())

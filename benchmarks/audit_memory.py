"""What verifying and compacting hold in memory, each in a process of its own: `peak_mb`."""

import subprocess
import sys
from pathlib import Path

from benchmarks.report import ROOT, peak_rss_mb

_STATUS = Path("/proc/self/status")

COMPACT_TARGET_BYTES = 32 * 1024 * 1024


def peak_mb(what: str, store: Path) -> float:
    """The most memory that verifying, compacting, or doing nothing with a store takes, in MB.

    `what` is verify, compact or start. Compacting changes the store.
    """
    command = [sys.executable, "-m", "benchmarks.audit_memory", what, str(store)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout)


def _peak_mb() -> float:
    """Of this program: what getrusage tells may still be that of the process which started it."""
    if not _STATUS.exists():
        return peak_rss_mb()
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _run(what: str, path: Path) -> None:
    from pipeline.audit.compact import compact_store
    from pipeline.audit.store import StoreConfig, open_store
    from pipeline.audit.verify import verify_store
    from pipeline.clock import system_now_ms

    store = open_store(path)
    if what == "verify":
        report = verify_store(store, workers=1)
        assert report.holds, report.faults
    elif what == "compact":
        config = StoreConfig(compact_fan_in_files=2, compact_target_bytes=COMPACT_TARGET_BYTES)
        assert compact_store(store, config, now_ms=system_now_ms).made


if __name__ == "__main__":
    _run(sys.argv[1], Path(sys.argv[2]))
    print(_peak_mb())

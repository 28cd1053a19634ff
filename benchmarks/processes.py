"""What processes took, by /proc: CPU seconds and memory of a program with all its children. Linux only."""

import os
from pathlib import Path
from typing import NamedTuple

_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_KB = 1024


class Usage(NamedTuple):
    """Of a program and its children, as of now."""

    cpu_s: float
    """User and system time, that of children that have ended included."""
    rss_mb: float
    peak_rss_mb: float
    """The sum of each process's own peak: at least what was ever in use at once."""
    processes: int
    threads: int
    open_files: int


def usage(pid: int) -> Usage:
    """Of a process and everything it started. What has ended counts nothing but its CPU time."""
    cpu_s = rss = peak = 0.0
    count = threads = files = 0
    for one in (pid, *_children(pid)):
        try:
            fields = _stat(one)
            status = _status(one)
            files += sum(1 for _ in Path(f"/proc/{one}/fd").iterdir())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        cpu_s += sum(map(int, fields[11:15])) / _TICKS_PER_S
        rss += status.get("VmRSS", 0) / _KB
        peak += status.get("VmHWM", 0) / _KB
        threads += status.get("Threads", 0)
        count += 1
    return Usage(cpu_s, rss, peak, count, threads, files)


def child_named(word: str) -> int | None:
    """The child of this process whose command line holds a word."""
    for pid in _children(os.getpid()):
        try:
            if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        except FileNotFoundError:
            continue
    return None


def stay_on(pid: int, cores: set[int]) -> None:
    """Keep a process, all its threads and what it will start, on these cores."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)


def _children(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                parents.setdefault(int(_stat(int(path.name))[1]), []).append(int(path.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found, waiting = [], [pid]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _status(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines)
    wanted = {"VmRSS", "VmHWM", "Threads"}
    return {name: int(value.split()[0]) for name, value in pairs if name in wanted}

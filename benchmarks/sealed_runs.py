"""`auditfuse run` from a loaded topic into an empty store: what it takes from the first seal to the last row.

The start (imports, models) ends with the first seal, so it is not counted; the memo is empty then.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks.processes import Usage, usage
from benchmarks.served import PROGRAM
from schemas.log_entry import LogEntry

LOOK_S = 0.05
START_TIMEOUT_S = 240.0
STALL_TIMEOUT_S = 240.0
_entry = msgspec.json.Decoder(LogEntry).decode


class SealedRun(NamedTuple):
    """From the first seal to the last."""

    rows: int
    wall_s: float
    cpu_s: float
    """Of all processes of auditfuse."""
    peak_rss_mb: float
    broker_cpu_s: float | None
    """Of Kafka, within the same time."""

    @property
    def per_cpu_s(self) -> float:
        """Events a second of CPU time: what one core does."""
        return self.rows / self.cpu_s


class Sealed:
    """How much of a source's topic a store holds, by its partition logs."""

    def __init__(self, store: Path, topic: str) -> None:
        self._logs = store / "log"
        self._topic = topic
        self._read: dict[Path, int] = {}
        self.rows = 0
        self.bytes = 0
        self.segments = 0
        self.messages = 0

    def look(self) -> int:
        """The rows sealed by now."""
        for partition in self._logs.glob(f"{self._topic}.*/*"):
            n = self._read.get(partition, 0)
            while True:
                try:
                    entry = _entry((partition / f"{n:012d}.json").read_bytes())
                except (FileNotFoundError, msgspec.MsgspecError):
                    break
                n += 1
                if entry.kind == "seal" and entry.segment is not None:
                    self.rows += entry.segment.rows
                    self.bytes += entry.segment.bytes
                    self.messages += entry.segment.end - entry.segment.start
                    self.segments += 1
            self._read[partition] = n
        return self.rows


class Program:
    """`auditfuse run` in a folder of its own."""

    def __init__(
        self, folder: Path, configured: str, *, cores: set[int] | None = None, roles: str = ""
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        text = f'[killswitch]\nport = {self.port}\n[log]\nlevel = "warning"\n{configured}'
        (folder / "auditfuse.toml").write_text(text)
        command = [str(PROGRAM), "run", *(["--role", roles] if roles and has_roles() else [])]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AUDITFUSE_")}
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = "1"
        with (folder / "run.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdout=log,
                stderr=log,
                env=environment,
                preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,  # noqa: PLW1509
            )

    @property
    def store(self) -> Path:
        """Where it seals."""
        return self.folder / "auditfuse-data" / "store"

    @property
    def pid(self) -> int:
        """Its main process."""
        return self._process.pid

    def usage(self) -> Usage:
        """Of all its processes so far."""
        return usage(self.pid)

    def require(self) -> None:
        """Raises SystemExit with the end of its log where it has ended."""
        if self._process.poll() is not None:
            log = (self.folder / "run.log").read_text(errors="replace")[-3000:]
            raise SystemExit(f"auditfuse run ended with {self._process.returncode}:\n{log}")

    def stop(self) -> None:
        """Drain and end."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(90)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def source(topic: str, file_format: str, kind: str = "kafka", name: str = "bench") -> str:
    """A source of the configuration."""
    return (
        f'[[sources]]\nname = "{name}"\nkind = "{kind}"\ntopic = "{topic}"\nformat = "{file_format}"\n'
        'agents = ["*"]\nenvironments = ["*"]\n'
    )


def settings(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Sections of the configuration."""
    return "".join(
        f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        for section, values in sections.items()
    )


def sealed_run(
    folder: Path,
    configured: str,
    topic: str,
    rows: int,
    *,
    cores: set[int] | None = None,
    broker: int | None = None,
    roles: str = "ingest",
) -> SealedRun:
    """Seal a topic that holds `rows` events; the folder is deleted afterwards."""
    try:
        with Program(folder, configured, cores=cores, roles=roles) as program:
            return _measured(program, Sealed(program.store, topic), rows, broker)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(program: Program, sealed: Sealed, rows: int, broker: int | None) -> SealedRun:
    wait_rows(program, sealed, 1)
    began, first_rows, before = time.perf_counter(), sealed.rows, program.usage()
    broker_before = usage(broker).cpu_s if broker else 0.0
    wait_rows(program, sealed, rows)
    ended, after = time.perf_counter(), program.usage()
    is_all_at_once = first_rows >= rows  # so few that the start is a part of it
    return SealedRun(
        rows=rows if is_all_at_once else sealed.rows - first_rows,
        wall_s=ended - began,
        cpu_s=after.cpu_s if is_all_at_once else after.cpu_s - before.cpu_s,
        peak_rss_mb=after.peak_rss_mb,
        broker_cpu_s=usage(broker).cpu_s - broker_before if broker else None,
    )


def wait_rows(program: Program, sealed: Sealed, rows: int) -> None:
    """Return once so many rows are sealed. Raises SystemExit where it stands still."""
    seen, moved = sealed.rows, time.monotonic()
    while sealed.look() < rows:
        program.require()
        if sealed.rows != seen:
            seen, moved = sealed.rows, time.monotonic()
        if time.monotonic() - moved > (STALL_TIMEOUT_S if seen else START_TIMEOUT_S):
            log = (program.folder / "run.log").read_text(errors="replace")[-3000:]
            raise SystemExit(f"auditfuse run stands still at {seen} of {rows} rows:\n{log}")
        time.sleep(LOOK_S)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@cache
def has_roles() -> bool:
    """Whether this auditfuse can run one role alone."""
    command = [str(PROGRAM), "run", "--help"]
    return "--role" in subprocess.run(command, capture_output=True, text=True, check=False).stdout

"""The workers of a run: `auditfuse run`, forked from a process that has imported everything, and the levers
by which their clocks and disks misbehave."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.fault_run.worker_child import LEVERS
from support.running import free_port, write_config

CHILD = Path(__file__).with_name("worker_child.py")
ROOT = CHILD.parents[3]


class Nursery:
    """Forks workers of one checkout."""

    def __init__(self, checkout: Path = ROOT) -> None:
        path = os.pathsep.join([str(checkout), str(checkout / "clients" / "python")])
        self._process = subprocess.Popen(
            [sys.executable, str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self._answer() == "loaded"

    def fork(self, folder: Path, arguments: Sequence[str], levers: Path) -> int:
        """Start a worker; returns its process id."""
        return int(self._ask(folder=str(folder), arguments=list(arguments), levers=str(levers)))

    def reap(self, pid: int) -> int | None:
        """How it ended, None while it runs."""
        status = self._ask(reap=pid)
        return None if status == "null" else int(status)

    def close(self) -> None:
        """End it and whatever it forked."""
        self._process.kill()
        self._process.wait(30)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _ask(self, **request: Any) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process that forks workers has ended"
        return line.strip()


class Worker:
    """One `auditfuse run`, in a folder of its own, started as often as need be."""

    def __init__(
        self,
        name: str,
        folder: Path,
        nursery: Nursery,
        sections: Mapping[str, Any],
        arguments: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.folder = folder
        self.nursery = nursery
        """Where the next start comes from: another one after an upgrade."""
        self.sections = dict(sections)
        self._arguments = list(arguments)
        self._pid: int | None = None
        self._started_by = nursery
        self.unexpected: list[str] = []
        """Ends that nobody asked for."""
        self.is_meant_to_run = False
        folder.mkdir(parents=True, exist_ok=True)
        self._levers = folder / "levers"
        self._levers.write_bytes(LEVERS.pack(0, 0, 0))
        self.port = free_port()

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._pid is not None, f"{self.name} does not run"
        return self._pid

    @property
    def is_running(self) -> bool:
        """Whether it lives. An end that nobody asked for is noted."""
        if self._pid is None:
            return False
        status = self._started_by.reap(self._pid)
        if status is None:
            return True
        self._pid = None
        if self.is_meant_to_run:
            self.unexpected.append(f"{self.name} ended with {status}: {self.log()[-600:]}")
        return False

    def start(self) -> None:
        """Start it with the present configuration."""
        assert not self.is_running, self.name
        changes = {"host": "127.0.0.1", "port": self.port, **self.sections.get("killswitch", {})}
        write_config(self.folder, **{**self.sections, "killswitch": changes})
        arguments = ["--config", "auditfuse.toml", *self._arguments]
        self._started_by = self.nursery
        self._pid = self.nursery.fork(self.folder, arguments, self._levers)
        self.is_meant_to_run = True

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.is_meant_to_run = False
        if self.is_running:
            self.send(signal.SIGKILL)
            self._wait(30)

    def stop(self, timeout_s: float = 90) -> int:
        """SIGTERM, and wait for the drain; returns how it ended."""
        self.is_meant_to_run = False
        self.send(signal.SIGTERM)
        return self._wait(timeout_s)

    def set_levers(self, *, clock_ms: int = 0, sync_ms: int = 0, is_full: bool = False) -> None:
        """What is wrong with its host from now on."""
        with self._levers.open("r+b") as file:
            file.write(LEVERS.pack(clock_ms, sync_ms, is_full))

    def is_ready(self) -> bool:
        """What /readyz says."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def children(self) -> list[int]:
        """Its own processes: the pool."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/children")
        return [int(pid) for task in tasks for pid in task.read_text().split()]

    def resident_mb(self) -> int:
        """Its memory now, without its pool's."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) // 1024
        return 0

    def log(self) -> str:
        """Everything that it has printed."""
        path = self.folder / "run.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _wait(self, timeout_s: float) -> int:
        deadline = time.monotonic() + timeout_s
        while (status := self._started_by.reap(self.pid)) is None:
            assert time.monotonic() < deadline, f"{self.name} still runs after {timeout_s:.0f} s"
            time.sleep(0.02)
        self._pid = None
        return status

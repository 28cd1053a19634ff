"""`auditfuse run` that is killed and started again: forked from a process that has imported everything,
so that a start costs little, and able to kill itself at a call that is named."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import NamedTuple

CHILD = Path(__file__).with_name("crash_child.py")
ROOT = CHILD.parents[2]
LOAD_TIMEOUT_S = 120.0


class Kill(NamedTuple):
    """Where a process ends itself: at the n-th call of a class (from 1), `before`, `after` or `torn`."""

    call: str
    place: str
    occurrence: int = 1
    moment: str = "after"


class Launcher:
    """Starts `auditfuse run` in folders, one at a time."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(CHILD.parents[1]), str(ROOT)])
        self._process = subprocess.Popen(
            [sys.executable, str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._answers: Queue[str] = Queue()
        Thread(target=self._read, daemon=True).start()
        self._pid: int | None = None
        self.status: int | None = None
        self._await_answer(LOAD_TIMEOUT_S)

    def start(self, folder: Path, kill: Kill | None = None, trace: Path | None = None) -> None:
        """Start in that folder, which holds auditfuse.toml; run.log is appended to."""
        assert self._pid is None, "the one before still runs"
        self.status = None
        request = {"folder": str(folder), "log": str(folder / "run.log"), "kill": kill}
        request["trace"] = str(trace) if trace else None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        self._pid = int(self._await_answer(30))

    def has_ended(self) -> bool:
        """Whether it ended by itself; `status` then says how: an exit code, or minus a signal."""
        with contextlib.suppress(Empty):
            if self._pid is not None:
                self.status = int(self._answers.get_nowait())
                self._pid = None
        return self._pid is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._pid is not None
        os.kill(self._pid, number)

    def end(self, number: signal.Signals, timeout_s: float = 60) -> int:
        """Send a signal and wait; returns how it ended."""
        self.send(number)
        deadline = time.monotonic() + timeout_s
        while not self.has_ended():
            assert time.monotonic() < deadline, f"still running {timeout_s} s after {number.name}"
            time.sleep(0.01)
        assert self.status is not None
        return self.status

    def close(self) -> None:
        """End whatever runs."""
        self._process.kill()
        self._process.wait(30)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line.strip())
        self._answers.put("")

    def _await_answer(self, timeout_s: float) -> str:
        answer = self._answers.get(timeout=timeout_s)
        assert answer, "the process that starts the others has ended"
        return answer


@contextlib.contextmanager
def launching() -> Iterator[Launcher]:
    """A launcher that ends with the block."""
    launcher = Launcher()
    try:
        yield launcher
    finally:
        launcher.close()


def traced(trace: Path) -> set[tuple[str, str]]:
    """The classes of calls in a trace."""
    return {(call, place) for call, place in (line.split("\t") for line in trace.read_text().splitlines())}

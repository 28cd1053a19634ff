"""The end of a parallel run that stands still: a worker that hangs in native code, or waits for work that
nobody sends. Its threads' stacks are printed and it is ended, so that the run fails and says where."""

import os
import signal
import sys
import threading
import time
from typing import Any

import pytest

LOOK_EVERY_S = 1.0


class Stalled:
    """A plugin of the controlling process: ends all workers when no test has ended for `limit_s`.

    A worker that gets SIGABRT prints the stack of each of its threads: pytest has switched that on.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._pids: set[int] = set()
        self._heard_at = time.monotonic()
        self._over = threading.Event()

    def pytest_sessionstart(self) -> None:
        threading.Thread(target=self._watch, daemon=True).start()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: Any) -> None:
        self._pids.add(node.gateway._rinfo().pid)
        self._heard_at = time.monotonic()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._pids.discard(node.gateway._rinfo().pid)

    def pytest_runtest_logreport(self) -> None:
        self._heard_at = time.monotonic()

    def pytest_sessionfinish(self) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            if time.monotonic() - self._heard_at < self._limit_s:
                continue
            sys.stderr.write(f"\nNo test has ended for {self._limit_s:g} s: the workers are ended\n")
            for pid in list(self._pids):
                os.kill(pid, signal.SIGABRT)
            return

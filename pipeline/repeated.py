"""Work that is done again and again, in a thread of its own, while auditfuse runs."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable


class Repeated(ABC):
    """Waits an interval, works, and so on until `stop`."""

    def __init__(self, name: str, interval_s: float, *, at_start: bool = False, at_end: bool = False) -> None:
        """`at_start`: the first time comes at once. `at_end`: there is a last time after `stop`."""
        self.stopping = threading.Event()
        self.may_work: Callable[[], bool] = lambda: True
        """Asked before each time: where several hosts could do it, one does."""
        self._interval_s = interval_s
        self._at_start = at_start
        self._at_end = at_end
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def work(self) -> None:
        """One time. It reports what fails and raises nothing, or the thread ends."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float | None = None) -> None:
        """Let what is under way, and the last time, be finished, then end. Waits for it, at most so long."""
        self.stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        if self._at_start:
            self._work()
        while not self.stopping.wait(self._interval_s):
            self._work()
        if self._at_end:
            self._work()

    def _work(self) -> None:
        if self.may_work():
            self.work()

"""Whether a part of the switch works, and since when it does not. Loud once, not once a second."""

import threading
import time
from collections.abc import Callable

import msgspec
import structlog
from prometheus_client import Gauge

AFTER_FAULT_S = 1.0

log = structlog.get_logger()


class Health(msgspec.Struct, frozen=True):
    """`fault` is None while it works, else what fails, without any content."""

    fault: str | None = None
    failing_since_monotonic_s: float | None = None

    @property
    def failing_s(self) -> float | None:
        """For how many seconds it has failed."""
        since = self.failing_since_monotonic_s
        return None if since is None else time.monotonic() - since

    def after(self, fault: str | None, part: str, gauge: Gauge) -> "Health":
        """The health after one more attempt; logs when it changes."""
        gauge.set(fault is not None)
        if fault == self.fault:
            return self
        if fault is None:
            log.warning(f"kill switch: {part} works again")
            return Health()
        log.error(f"kill switch: {part} fails; trips are served all the same", fault=fault)
        since = self.failing_since_monotonic_s
        return Health(fault, time.monotonic() if since is None else since)


def fault_of(error: BaseException) -> str:
    """An error in words that hold no content: its type, and for the operating system's its meaning."""
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return type(error).__name__


class Loop:
    """A daemon thread that calls `step` at once when woken, else every `interval_s`."""

    def __init__(self, name: str, step: Callable[[], float]) -> None:
        self._step = step
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Have the next step begin now."""
        self._wake.set()

    def stop(self, timeout_s: float) -> None:
        """Ask it to end after the step under way and wait for it, at most `timeout_s`."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                pause_s = self._step()
            except Exception as error:  # noqa: BLE001 (a fault of ours must not end the thread)
                log.error("kill switch: a round failed", thread=self._thread.name, fault=fault_of(error))
                pause_s = AFTER_FAULT_S
            self._wake.wait(pause_s)

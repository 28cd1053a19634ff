"""What people write into orders (why they trip, reset, acknowledge), redacted before it is kept.

By patterns alone: a model of names would cost memory and seconds where a person waits to stop an agent.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

import structlog

from pipeline.keys import Keys
from pipeline.redact.config import RedactionConfig

if TYPE_CHECKING:
    from pipeline.redact.redactor import Redactor

WITHHELD = "(withheld: it could not be redacted in time)"
"""Stands in for a text that must not be kept as it is: better no reason than a leak, or a late trip."""

Redact = Callable[[str, float], str]
"""A person's text and the seconds that redacting it may take → what may be kept. Never raises."""

log = structlog.get_logger()


def as_it_is(text: str, wait_s: float) -> str:
    """Redacts nothing: for who keeps no text."""
    del wait_s
    return text


class ReasonRedactor:
    """Redacts in a thread of its own, so that the caller decides how long to wait. Thread-safe."""

    def __init__(self, config: RedactionConfig, keys: Keys) -> None:
        self._config = config
        self._keys = keys
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._waiting: queue.SimpleQueue[tuple[str, Future[str]]] = queue.SimpleQueue()

    def load(self) -> None:
        """Begin to load the patterns (about two seconds); the first text begins it otherwise."""
        with self._lock:
            if self._thread is None and self._config.enabled:
                self._thread = threading.Thread(target=self._run, name="redact-reasons", daemon=True)
                self._thread.start()

    def __call__(self, text: str, wait_s: float) -> str:
        """The text, redacted; WITHHELD where that takes longer than `wait_s` or fails. Never raises."""
        if not self._config.enabled or not text.strip():
            return text
        self.load()
        done: Future[str] = Future()
        self._waiting.put((text, done))
        try:
            return done.result(wait_s)
        except Exception as error:  # noqa: BLE001 (whatever it was: fail closed, and the order goes on)
            log.warning("a reason is withheld", error=type(error).__name__)
            return WITHHELD

    def _run(self) -> None:
        redactor: Redactor | None = None
        while True:
            try:
                redactor = redactor or self._load()
                text, done = self._waiting.get()
            except Exception as error:  # noqa: BLE001 (fail closed: every text is withheld)
                log.error("reasons cannot be redacted and are withheld", error=type(error).__name__)
                with self._lock:
                    self._thread = None  # the next text tries again
                return
            try:
                done.set_result(redactor.redact_text(text).text)
            except Exception as error:  # noqa: BLE001 (fail closed)
                done.set_exception(error)

    def _load(self) -> "Redactor":
        from pipeline.redact.redactor import Redactor  # Presidio: about two seconds

        redactor = Redactor(self._config.model_copy(update={"names": "off"}), self._keys)
        redactor.redact_text("+1 415 555 0100")
        return redactor

"""Calls of a user's code in a thread of its own, so that one that never returns holds nothing up."""

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Value = TypeVar("Value")


class TooSlow(Exception):
    """The code did not return in time. Its thread is left to itself: Python can end none."""


class Limited:
    """One call at a time."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._asked: queue.SimpleQueue[Callable[[], Any]] | None = None
        self._answers: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def call(self, function: Callable[[], Value]) -> Value:
        """What it returns, or raises what it raises; TooSlow where it takes longer than the limit."""
        if self._asked is None:
            self._asked, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
            queues = (self._asked, self._answers)
            threading.Thread(target=_serve, args=queues, name="own detectors", daemon=True).start()
        self._asked.put(function)
        try:
            value, error = self._answers.get(timeout=self._limit_s)
        except queue.Empty:
            self._asked = None
            raise TooSlow from None
        if error is not None:
            raise error
        return value


def _serve(
    asked: queue.SimpleQueue[Callable[[], Any]], answers: queue.SimpleQueue[tuple[Any, Exception | None]]
) -> None:
    while True:
        try:
            answers.put((asked.get()(), None))
        except Exception as error:  # noqa: BLE001 (whatever a user's code raises)
            answers.put((None, error))

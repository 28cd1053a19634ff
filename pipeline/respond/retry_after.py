"""Retry-After of the answers that apprise gets and does not pass on.

apprise's services call `requests` and keep the status alone. So each answer to a request that is made inside
`observed()` is looked at on its way, in whatever thread apprise makes it: it hands its context on.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Generator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

LONGEST_S = 3_600.0
"""However long a service asks for: a page is tried again within the hour."""
ASKS_TO_WAIT = (429, 503)
_answers: ContextVar[list[float] | None] = ContextVar("answers", default=None)
_install_lock = threading.Lock()


@contextlib.contextmanager
def observed() -> Generator[list[float]]:
    """The pauses in seconds that answers within the block ask for, in order."""
    _install()
    pauses: list[float] = []
    token = _answers.set(pauses)
    try:
        yield pauses
    finally:
        _answers.reset(token)


def pause_asked_s(status: int, headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """How many seconds an answer asks to wait, at most an hour; None where it does not, or not clearly."""
    text = headers.get("Retry-After")
    if text is None or status not in ASKS_TO_WAIT:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            until = parsedate_to_datetime(text)
        except ValueError:
            return None
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        seconds = (until - (now or datetime.now(UTC))).total_seconds()
    return min(seconds, LONGEST_S) if seconds > 0 else None


def _install() -> None:
    import requests

    with _install_lock:
        send = requests.Session.send
        if not hasattr(send, "__wrapped__"):
            requests.Session.send = _observing(send)


def _observing(send: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(send)
    def observing(*args: Any, **named: Any) -> Any:
        answer = send(*args, **named)
        pauses = _answers.get()
        if pauses is not None:
            asked_s = pause_asked_s(answer.status_code, answer.headers)
            if asked_s is not None:
                pauses.append(asked_s)
        return answer

    return observing

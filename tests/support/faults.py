"""Faults at the calls by which anything becomes durable: the n-th call fails, or the process dies there."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

DURABLE_CALLS = ("open", "write", "fsync", "close", "link", "unlink", "mkdir", "replace")
Fault = Literal["not persisted", "persisted", "torn", "killed before", "killed after"]
FAULTS: tuple[Fault, ...] = ("not persisted", "persisted", "torn", "killed before", "killed after")


@pytest.fixture(autouse=True)
def without_disk_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """For modules that import it: fsync is counted and may fail, but the disk is not waited for."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Killed(BaseException):
    """The process is dead: nothing it still does reaches the disk."""


class Faults:
    """Counts the durable calls and lets number `at` go wrong, once. `hit` says whether it came to that."""

    def __init__(self, fault: Fault | None, at: int) -> None:
        self._fault = fault
        self._at = at
        self.calls = 0
        """Durable calls so far."""
        self._dead = False
        self.hit: str | None = None

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if self._dead:
                raise Killed
            self.calls += 1
            if self.calls - 1 != self._at:
                return call(*args, **kwargs)
            self.hit = name
            return self._fail(name, call, args, kwargs)

        return wrapped

    def _fail(self, name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self._fault == "torn" and name == "write":
            call(args[0], args[1][: len(args[1]) // 2])
        if self._fault in ("persisted", "killed after"):
            done = call(*args, **kwargs)
            if name == "open":
                os.close(done)
        if self._fault in ("killed before", "killed after"):
            self._dead = True
            raise Killed
        raise OSError(errno.EIO, "injected")


@contextlib.contextmanager
def durable_faults(fault: Fault | None, at: int) -> Iterator[Faults]:
    """Within, the durable call number `at` (from 0) goes wrong in the given way."""
    faults = Faults(fault, at)
    with pytest.MonkeyPatch.context() as patch:
        real = {name: getattr(os, name) for name in DURABLE_CALLS}
        for name, call in real.items():
            patch.setattr(os, name, faults.wrap(name, call))
        yield faults

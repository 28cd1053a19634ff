"""Run by workers.py in a process of its own: forks `auditfuse run` again and again, everything imported once,
so that a start costs little. A worker's wall clock and disk can be told to misbehave while it runs.

Reads one JSON request a line. {"folder", "arguments", "levers"} answers the PID; {"reap": PID} answers how it
ended, or "running".
"""

import ctypes
import errno
import importlib
import json
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOADED = (
    "apprise",
    "apprise.plugins.custom_json",
    "duckdb",
    "pipeline.audit.verify",
    "pipeline.redact.find.engine",
    "pipeline.service",
    "sqlalchemy.dialects.sqlite",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)
LEVERS = struct.Struct("<qqq")
"""What is wrong with a worker's host: its clock (ms ahead), a sync of its disk (ms), a full disk (0, 1)."""
TAKES_SPACE = ("write", "link", "mkdir", "replace", "rename")


class Levers:
    """A worker's own view of the file that the harness writes."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), LEVERS.size, access=mmap.ACCESS_READ)

    @property
    def clock_ms(self) -> int:
        """How far the wall clock is ahead."""
        return LEVERS.unpack_from(self._map)[0]

    @property
    def sync_ms(self) -> int:
        """How long each sync takes."""
        return LEVERS.unpack_from(self._map)[1]

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be written to the disk."""
        return bool(LEVERS.unpack_from(self._map)[2])


def install(levers: Levers) -> None:
    """Put the levers between this process and its clock and disk. Monotonic clocks go on, as in a jump."""
    now_s, now_ns = time.time, time.time_ns
    time.time = lambda: now_s() + levers.clock_ms / 1000
    time.time_ns = lambda: now_ns() + levers.clock_ms * 1_000_000
    sync = os.fsync

    def slow_sync(descriptor: int) -> None:
        if levers.sync_ms:
            time.sleep(levers.sync_ms / 1000)
        sync(descriptor)

    os.fsync = slow_sync
    for name in TAKES_SPACE:
        setattr(os, name, _needing_space(getattr(os, name), levers))


def _needing_space(call: Callable[..., Any], levers: Levers) -> Callable[..., Any]:
    def wrapped(first: Any, *rest: Any, **options: Any) -> Any:
        # Descriptors of the loop's own pipes, and of what is printed, are no files of the disk.
        if levers.is_full and (not isinstance(first, int) or (first > 2 and _is_file(first))):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return call(first, *rest, **options)

    return wrapped


def _is_file(descriptor: int) -> bool:
    return os.readlink(f"/proc/self/fd/{descriptor}").startswith("/")  # noqa: PTH115


def serve_requests() -> None:
    """Fork a child for each request."""
    end_with_parent()
    for name in LOADED:
        importlib.import_module(name)
    _build_once()
    print("loaded", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "reap" in request:
            print(json.dumps(_reaped(request["reap"])), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            end_with_parent()
            _run(request)
        print(pid, flush=True)


def _reaped(pid: int) -> int | None:
    """Exit status, or minus a signal; None while it runs."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _build_once() -> None:
    """What every child would build again, alike and without a file: the redaction engine, the plug-ins."""
    from apprise import Apprise

    from pipeline.redact.config import RedactionConfig
    from pipeline.redact.find import engine

    built = engine.Engine(RedactionConfig(names="off"))
    engine.Engine = lambda _: built  # pyright: ignore[reportAttributeAccessIssue] (all are configured alike)
    assert Apprise.instantiate("json://localhost") is not None


def _run(request: dict[str, Any]) -> None:
    status = 1
    try:
        os.chdir(request["folder"])
        log = os.open("run.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        install(Levers(Path(request["levers"])))
        from pipeline import cli

        sys.argv = ["auditfuse", "run", *request["arguments"]]
        status = cli.run()
    except BaseException:  # noqa: BLE001 (the log shows it)
        sys.excepthook(*sys.exc_info())  # pyright: ignore[reportArgumentType] (there is one)
    sys.stdout.flush()
    os._exit(status)


def end_with_parent() -> None:
    """No run leaves a worker behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    serve_requests()

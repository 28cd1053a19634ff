"""Run by crash.py in a process of its own: forks `auditfuse run` again and again, everything imported
once, and lets each kill itself at a named call.

Reads one JSON request a line: {"folder", "log", "trace", "kill"}; answers `PID`, and `STATUS` once that
child has ended. `kill` is [call, place, occurrence from 1, "before" | "after" | "torn"].
"""

import ctypes
import importlib
import json
import os
import re
import signal
import sys
import threading
from collections import Counter
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
CALLS = ("open", "write", "fsync", "link", "unlink", "replace", "rename", "mkdir", "rmdir", "ftruncate")
AUDITED = {f"os.{call}" for call in ("link", "remove", "rename", "mkdir", "rmdir", "truncate", "symlink")}
DIRECTORY = "directory of "
PLACES = [
    (re.compile(pattern), place)
    for pattern, place in (
        (r"store/staging/\d{12}\.json\.[0-9a-f]{16}", "staged entry"),
        (r"store/staging/.*\.parquet\.[0-9a-f]{16}", "staged segment"),
        (r"store/staging/.*\.note\.[0-9a-f]{16}", "staged checkpoint"),
        (r"store/staging/.*\.ndjson\.[0-9a-f]{16}", "staged bundle"),
        (r"store/checkpoints", DIRECTORY + "checkpoints"),
        (r"store/checkpoints/.*\.note", "checkpoint"),
        (r"store/log/[^/]+/\d+/bundles", DIRECTORY + "bundles"),
        (r"store/log/[^/]+/\d+/bundles/.*", "bundle"),
        (r"store/log/(?P<of>_control|_findings)/0/\d{12}\.json", "entry of "),
        (r"store/log/[^/]+/\d+/\d{12}\.json", "entry"),
        (r"store/segments/(?P<of>_control|_findings)/0/.*-append-.*", "segment of "),
        (r"store/segments/[^/]+/\d+/.*-(?P<of>seal|compact|erase)-.*", "segment of kind "),
        (r"store/log(/[^/]+(/\d+)?)?", DIRECTORY + "entries"),
        (r"store/segments(/[^/]+(/\d+)?)?", DIRECTORY + "segments"),
        (r"store/catalog/lock", "catalog lock"),
        (r"store/catalog(/.*)?", "catalog"),
        (r"store/snapshots(/.*)?", "snapshot"),
        (r"(store(/staging)?|\.)", DIRECTORY + "the store"),
        (r"topics/\.[^/]+\.[0-9a-f]{16}(/.*)?", "topic being made"),
        (r"topics/[^/]+/\d+/\..*\.frames\.[0-9a-f]{16}", "topic file being made"),
        (r"topics/[^/]+/\d+/.*\.frames", "topic file"),
        (r"topics/[^/]+/producer\.lock", "producer lock"),
        (r"topics(/[^/]+(/\d+)?)?", DIRECTORY + "topics"),
        (r"state\.db\.active", "lock of who responds"),
        (r"journal(/.*)?", "journal"),
        (r"keys(/.*)?", "key"),
        (r"(auditfuse-)?checkpoint(/.*)?", "state of the sequencer"),
        (r"anchor(/.*)?", "anchor"),
    )
]
_TABLE = re.compile(r"\s*(INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE)\s+\"?(\w+)", re.IGNORECASE)


def place_of(path: str | bytes | os.PathLike[str], folder: Path) -> str | None:
    """The kind of place that a path is, None outside of the folder."""
    absolute = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 (names only)
    if absolute != str(folder) and not absolute.startswith(f"{folder}{os.sep}"):
        return None
    relative = os.path.relpath(absolute, folder)
    for pattern, place in PLACES:
        if match := pattern.fullmatch(relative):
            return place + match.groupdict().get("of", "")
    return f"somewhere unknown: {relative}"


class Tripwire:
    """Notes every call and ends the process at the one that was asked for."""

    def __init__(self, folder: Path, trace: str, kill: list[Any] | None) -> None:
        self.folder = folder
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._write = os.write
        self._seen: Counter[tuple[str, str]] = Counter()
        self._at = (kill[0], kill[1]) if kill else None
        self._occurrence, self._moment = (kill[2], kill[3]) if kill else (0, "")
        self._lock = threading.Lock()
        self._inside = threading.local()

    def call(self, name: str, place: str | None, call: Callable[[], Any], torn: Callable[[], Any]) -> Any:
        """Make a call, and note it; dies at the one asked for."""
        if place is None:
            return call()
        moment = self.note(name, place)
        if moment == "torn":
            torn()
        if moment in ("before", "torn"):
            die()
        self._inside.on = True
        try:
            return call()
        finally:
            self._inside.on = False
            if moment == "after":
                die()

    def unnoted(self, call: Callable[[], Any]) -> Any:
        """Make a call that leaves nothing in the folder."""
        self._inside.on = True
        try:
            return call()
        finally:
            self._inside.on = False

    def note(self, name: str, place: str) -> str:
        """Count a call; the moment to die at, if this is the one."""
        with self._lock:
            self._seen[name, place] += 1
            self._write(self._trace, f"{name}\t{place}\n".encode())
            hit = self._at == (name, place) and self._seen[name, place] == self._occurrence
        return self._moment if hit else ""

    def on_audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Whatever goes round the wrappers is noted too, as a call that no list knows."""
        if getattr(self._inside, "on", False):
            return
        if event == "open":
            path, mode, _ = arguments
            writes = isinstance(mode, str) and set(mode) & set("wax+")
            if writes and isinstance(path, str | bytes | os.PathLike):
                self._note_stray("builtin open", path)
        elif event in AUDITED:
            self._note_stray(f"{event} past the wrappers", arguments[0])

    def _note_stray(self, name: str, path: Any) -> None:
        place = None if isinstance(path, int) else place_of(path, self.folder)
        if place is not None:
            self.note(name, place)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def install(wire: Tripwire) -> None:
    """Put the tripwire around every call by which something becomes durable or is told."""
    for name in CALLS:
        setattr(os, name, _wrapped(name, getattr(os, name), wire))
    sys.addaudithook(wire.on_audit)
    _around_commits(wire)
    _around_kafka(wire)
    _around_pages(wire)


def _wrapped(name: str, call: Callable[..., Any], wire: Tripwire) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("dir_fd") is not None:  # within a temporary directory that is being removed
            return wire.unnoted(lambda: call(*args, **kwargs))

        def torn() -> None:
            call(args[0], args[1][: len(args[1]) // 2])

        return wire.call(name, _place(name, args, wire.folder), lambda: call(*args, **kwargs), torn)

    return wrapped


def _place(name: str, args: tuple[Any, ...], folder: Path) -> str | None:
    if name == "open":
        return place_of(args[0], folder) if len(args) > 1 and args[1] & os.O_CREAT else None
    if isinstance(args[0], int):
        return place_of(os.readlink(f"/proc/self/fd/{args[0]}"), folder)  # noqa: PTH115
    if name not in ("link", "replace", "rename"):
        place = place_of(args[0], folder)
        unlinked = name == "unlink" and place is not None and place.startswith("segment of")
        return "segment that is not live" if unlinked else place
    place = place_of(args[1], folder)
    return _entry(args[0], place) if place and place.startswith("entry") else place


def _entry(staged: Any, place: str) -> str:
    """The kind of a log entry; of maintenance's, whose turn is hard to foretell, not whose it is."""
    entry = json.loads(Path(staged).read_bytes())
    kind = f"{entry['role']} claim" if entry["kind"] == "claim" else entry["kind"]
    return f"{kind} entry" if kind in ("maintenance claim", "compact") else f"{kind} {place}"


def _around_commits(wire: Tripwire) -> None:
    from sqlalchemy import Engine, event
    from sqlalchemy.engine.default import DefaultDialect

    tables = threading.local()

    def begun(_connection: Any) -> None:
        tables.changed = set()

    def executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if match := _TABLE.match(statement):
            tables.changed.add(match[2])

    commit = DefaultDialect.do_commit

    def committing(self: Any, connection: Any) -> None:
        changed = "+".join(sorted(tables.changed))
        wire.call("commit", changed or None, lambda: commit(self, connection), die)

    event.listen(Engine, "begin", begun)
    event.listen(Engine, "before_cursor_execute", executed)
    DefaultDialect.do_commit = committing


def _around_kafka(wire: Tripwire) -> None:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    def around(owner: Any, method: str, name: str, place: str) -> None:
        call = getattr(owner, method)

        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            moment = wire.note(name, place)
            if moment == "before":
                die()
            result = await call(*args, **kwargs)
            if moment == "after":
                die()
            return result

        setattr(owner, method, wrapped)

    around(AIOKafkaConsumer, "commit", "commit", "consumer group")
    around(AIOKafkaProducer, "send", "append", "Kafka topic")


def _around_pages(wire: Tripwire) -> None:
    from pipeline.respond.pager import ApprisePager

    send = ApprisePager.send

    def sending(*args: Any, **kwargs: Any) -> Any:
        return wire.call("send", "page", lambda: send(*args, **kwargs), die)

    ApprisePager.send = sending


def serve_requests() -> None:
    """Fork a child for each request, one at a time."""
    _end_with_parent()
    for name in LOADED:
        importlib.import_module(name)
    _build_once()
    print("loaded", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _end_with_parent()
            _run(request)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


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
        folder = Path(request["folder"])
        os.chdir(folder)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        if request["trace"]:
            install(Tripwire(folder, request["trace"], request["kill"]))
        from pipeline.commands.run import run

        run(Path("auditfuse.toml"))
        status = 0
    except BaseException:  # noqa: BLE001 (the test shows the log)
        sys.excepthook(*sys.exc_info())  # pyright: ignore[reportArgumentType] (there is one)
    os._exit(status)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    serve_requests()

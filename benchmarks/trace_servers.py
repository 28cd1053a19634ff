"""Other programs that store traces, sent the same spans by OTLP/HTTP: Arize Phoenix and MLflow.

Each is installed into a virtual environment of its own, from the package registry, for the time being. They
redact nothing; what is compared is the CPU time of the server for each span that it stored.
"""

import base64
import http.client
import json
import os
import sqlite3
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.processes import usage
from benchmarks.sealed_runs import free_port

START_TIMEOUT_S = 180.0
STORE_TIMEOUT_S = 300.0
_HEX_IDS = ("traceId", "spanId", "parentSpanId")


class TraceServer(NamedTuple):
    """A program: how it is installed, started, and where it keeps what it stored."""

    name: str
    requirement: str
    command: Callable[[Path, int, Path], list[str]]
    """From the folder of its programs, a port, and a folder for its files."""
    environment: Callable[[int, Path], Mapping[str, str]]
    headers: Mapping[str, str]
    database: str


SERVERS = (
    TraceServer(
        "Arize Phoenix",
        "arize-phoenix==20.26.1",
        lambda programs, _port, _folder: [str(programs / "phoenix"), "serve"],
        lambda port, folder: {
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(free_port()),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_TELEMETRY_ENABLED": "false",
        },
        {},
        "phoenix.db",
    ),
    TraceServer(
        "MLflow",
        "mlflow==3.17.2",
        lambda programs, port, folder: [
            *(
                str(programs / "mlflow"),
                "server",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--workers",
                "1",
            ),
            *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
            *("--default-artifact-root", str(folder / "artifacts")),
        ],
        lambda _port, _folder: {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
        {"x-mlflow-experiment-id": "0"},
        "mlflow.db",
    ),
)


class Stored(NamedTuple):
    """What a server took for the spans that it stored."""

    requirement: str
    spans: int
    sent: int
    cpu_s: float
    wall_s: float

    @property
    def us(self) -> float:
        """CPU microseconds of the server a stored span."""
        return 1e6 * self.cpu_s / max(self.spans, 1)


def protobuf(message: bytes) -> bytes:
    """An ExportTraceServiceRequest in JSON, as OTLP/HTTP takes it in binary."""
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request: Any = json.loads(message)
    for resource in request["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in _HEX_IDS:
                    if name in span:
                        span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return ParseDict(request, ExportTraceServiceRequest(), ignore_unknown_fields=True).SerializeToString()


def stored_by(server: TraceServer, folder: Path, messages: Iterable[bytes], spans: int) -> Stored:
    """Install and start a server, send it the messages, wait until they are stored. Exits where it fails."""
    folder.mkdir(parents=True)
    programs = _installed(server, folder)
    files, port = folder / "files", free_port()
    files.mkdir()
    own = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            server.command(programs, port, files),
            cwd=files,
            env=own | dict(server.environment(port, files)),
            stdout=log,
            stderr=log,
        )
    try:
        _wait_ready(process, port, folder)
        before, began = usage(process.pid).cpu_s, time.perf_counter()
        for message in messages:
            _send(port, message, server.headers)
        stored = _wait_stored(files / server.database, spans)
        cpu_s = usage(process.pid).cpu_s - before
        return Stored(server.requirement, stored, spans, cpu_s, time.perf_counter() - began)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _installed(server: TraceServer, folder: Path) -> Path:
    print(f"  installing {server.requirement} …", file=sys.stderr, flush=True)
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    command = [str(programs / "pip"), "install", "--quiet", "--no-cache-dir", server.requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{server.requirement} cannot be installed:\n{done.stderr[-1000:]}")
    return programs


def _wait_ready(process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            if connection.getresponse().status < 500:
                return
        except OSError:
            time.sleep(0.5)
        finally:
            connection.close()
    raise SystemExit("it did not start:\n" + (folder / "server.log").read_text(errors="replace")[-2000:])


def _send(port: int, message: bytes, headers: Mapping[str, str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        for attempt in range(200):
            connection.request(
                "POST", "/v1/traces", message, {"content-type": "application/x-protobuf", **headers}
            )
            answer = connection.getresponse()
            told = answer.read()
            if answer.status < 300:
                return
            if answer.status not in (429, 503):
                raise SystemExit(f"a span was refused with {answer.status}: {told[:300]!r}")
            time.sleep(0.05 * (1 + attempt % 10))
        raise SystemExit("spans were refused as too many, again and again")
    finally:
        connection.close()


def _wait_stored(database: Path, spans: int) -> int:
    """How many spans it stored, once it has them all or stores no more."""
    deadline, stored, moved = time.monotonic() + STORE_TIMEOUT_S, 0, time.monotonic()
    while time.monotonic() < deadline and stored < spans and time.monotonic() - moved < 20:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            found = connection.execute("SELECT count(*) FROM spans").fetchone()[0]
        if found != stored:
            stored, moved = found, time.monotonic()
        time.sleep(0.3)
    return stored

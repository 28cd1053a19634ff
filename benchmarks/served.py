"""A real `auditfuse run` in a folder of its own, and keep-alive HTTP to it without a client's cost."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

PROGRAM = Path(sys.executable).with_name("auditfuse")
READY_TIMEOUT_S = 60
FLAG = "/ofrep/v1/evaluate/flags/agent.enabled"
CONFIG = """\
redaction = {{ enabled = false }}
worker = {{ processes = 0 }}
killswitch = {{ port = {port} }}
http = {{ port = 0, default_sources = ["events"] }}
log = {{ level = "warning" }}

[[sources]]
name = "events"
kind = "http"
topic = "events"
format = "events"
agents = ["*"]
environments = ["*"]
"""


class Server(NamedTuple):
    """Where it listens and which process it is."""

    port: int
    pid: int
    token: str
    """The operator's."""

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"


class Connection:
    """One keep-alive connection: a request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> bytes:
        """Send a request and return the whole answer, whose body ends with a brace."""
        self.socket.sendall(request)
        return self.answer()

    def answer(self) -> bytes:
        """The answer to what was sent before."""
        answer = self.socket.recv(65536)
        while answer and not answer.endswith(b"}"):
            answer += self.socket.recv(65536)
        return answer

    def close(self) -> None:
        """Close it."""
        self.socket.close()


def post(path: str, body: dict[str, Any], token: str | None = None) -> bytes:
    """The bytes of a POST of JSON."""
    content = json.dumps(body).encode()
    authorization = f"authorization: Bearer {token}\r\n" if token else ""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{authorization}"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def evaluation(agent: str) -> bytes:
    """A request for `agent.enabled`, as an SDK would send it."""
    context = {"targetingKey": agent, "environment": "prod", "tool": "refund"}
    return post(FLAG, {"context": context})


@contextmanager
def running(folder: Path, config: str = CONFIG) -> Generator[Server]:
    """Start `auditfuse run` (by default on local topics), wait until it is ready, stop it at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "auditfuse.toml").write_text(config.format(port=port))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AUDITFUSE_")}
    with (folder / "run.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "run"], cwd=folder, stdout=log, stderr=log, env=environment)
        try:
            _wait_ready(process, port, folder)
            token = (folder / "auditfuse-data" / "journal" / "operator.token").read_text().strip()
            yield Server(port, process.pid, token)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait_ready(process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    request = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    while time.monotonic() < deadline and process.poll() is None:
        try:
            connection = Connection(port)
            answer = connection.ask(request)
            connection.close()
        except OSError:
            answer = b""
        if answer.startswith(b"HTTP/1.1 200"):
            return
        time.sleep(0.05)
    raise SystemExit(f"auditfuse run did not get ready:\n{(folder / 'run.log').read_text()}")

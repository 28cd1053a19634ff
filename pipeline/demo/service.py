"""`auditfuse` as the demo runs it: the same program and configuration file as everybody's."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from pipeline.errors import AuditfuseError

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
CONFIG = """\
# The demo's configuration. Yours looks much the same; the README explains each part.
data_dir = "."

[[sources]]                       # who may send, and for whom it may speak
name = "agents"
topic = "agent-events"
kind = "http"
format = "events"
agents = ["invoice-agent", "payments-agent"]
environments = ["prod"]

[http]
port = {events_port}
default_sources = ["agents"]      # without a token: from this machine only

[killswitch]
port = {control_port}

[killswitch.auto_trip.detectors.write_burst]
mode = "enforce"                  # the default is "shadow": say it, do not do it
trip = "read_only"

[respond]
agent_pages_together_s = 0        # by default more of one agent waits some seconds, for one page

[[respond.targets]]               # any of apprise's: Slack, PagerDuty, e-mail, ...
name = "webhook"
url = "json://127.0.0.1:{webhook_port}/"

[[checkpoint.anchors]]            # signed copies of what the log holds, on another machine or topic
name = "elsewhere"
kind = "directory"
path = "elsewhere"

[store]
seal_interval_ms = 500
"""


class DemoService:
    """One `auditfuse run`, and the commands that people give beside it."""

    def __init__(self, folder: Path, webhook_port: int) -> None:
        self._folder = folder
        self.events_port, self.control_port = _free_ports(2)
        text = CONFIG.format(
            events_port=self.events_port, control_port=self.control_port, webhook_port=webhook_port
        )
        (folder / "auditfuse.toml").write_text(text)
        self._log = (folder / "demo.log").open("ab")
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self._running = subprocess.Popen(
            [*_program(), "run"], cwd=self._folder, stdout=self._log, stderr=self._log, env=_environment()
        )
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self._answers("/readyz"):
            if self._running.poll() is not None or time.monotonic() > deadline:
                raise AuditfuseError(f"auditfuse did not start; see {self._folder}/demo.log")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ask it to drain and end."""
        if self._running is not None:
            self._running.terminate()
            try:
                self._running.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._running.kill()
        self._log.close()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        return subprocess.run(
            [*_program(), *arguments],
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
            env=_environment(),
        )

    def stored_output(self, span_id: str) -> str | None:
        """The stored output of the event with that span id, as an analyst sees it; None: not sealed yet."""
        assert all(digit in "0123456789abcdef" for digit in span_id)  # noqa: S101 (made by the generator)
        query = f"select output from events where span_id = '{span_id}'"  # noqa: S608
        done = self.command("sql", "--store", "store", "--format", "json", query)
        rows = json.loads(done.stdout or "[]")
        output: Any = rows[0]["output"] if rows else None
        return output if isinstance(output, str | None) else json.dumps(output)

    def newest_checkpoint(self) -> tuple[int, str]:
        """Its size, and the log's name that it is signed as."""
        newest = json.loads(self.command("checkpoint", "list", "--json").stdout)[-1]
        return newest["size"], newest["origin"]

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.control_port}{path}", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False


def _program() -> list[str]:
    return [sys.executable, "-m", "pipeline.cli"]


def _environment() -> dict[str, str]:
    """This process's, without what would change the demo's configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUDITFUSE_")}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports

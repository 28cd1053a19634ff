"""`auditfuse` as its users run it: a real process, with a configuration of its own in a folder of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("auditfuse")
READY_TIMEOUT_S = 60


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def auditfuse(
    *arguments: str, cwd: Path, check: bool = True, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    done = subprocess.run(
        [PROGRAM, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300, check=False, **options
    )
    assert "Traceback" not in done.stderr, done.stderr
    if check:
        assert done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def toml(value: Any) -> str:
    """A TOML value; tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value) if not isinstance(value, bool) else str(value).lower()


def write_config(folder: Path, **sections: Any) -> Path:
    """Write auditfuse.toml with these sections (a list of tables for `sources`)."""
    path = folder / "auditfuse.toml"
    text = "".join(f"{name} = {toml(section)}\n" for name, section in sections.items())
    tomllib.loads(text)
    path.write_text(text)
    return path


def detectors_alone(*names: str) -> dict[str, dict[str, Any]]:
    """Sections of `[detect]` by which only these detectors run, for tests that are about none of the others:
    each costs its part in every small fold."""
    from detectors.registry import DETECTORS

    found = {one.name for one in DETECTORS}
    assert found >= {*names}, found
    return {name: {"enabled": False} for name in sorted(found - {*names})}


class Running:
    """An `auditfuse run` in the background."""

    def __init__(
        self,
        folder: Path,
        control_port: int,
        env: dict[str, str] | None = None,
        preexec: Callable[[], None] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self._arguments = arguments
        self.folder = folder
        self._preexec = preexec
        self.control = f"http://127.0.0.1:{control_port}"
        self._env = {**os.environ, **(env or {})}
        self._log = (folder / "run.log").open("ab")
        self.process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [PROGRAM, "run", "--config", "auditfuse.toml", *self._arguments],
            cwd=self.folder,
            stdout=self._log,
            stderr=self._log,
            env=self._env,
            preexec_fn=self._preexec,  # noqa: PLW1509 (sets what only the child itself can)
        )

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> "Running":
        """Wait until /readyz says yes."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log()}"
            if self.get("/readyz")[0] == 200:
                return self
            time.sleep(0.1)
        raise AssertionError(f"not ready after {timeout_s} s:\n{self.log()}")

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body; 0 where nothing answers."""
        try:
            with urllib.request.urlopen(self.control + path, timeout=5) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def stop(self, timeout_s: float = 60) -> int:
        """SIGTERM, and wait for the drain."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(30)

    def restart(self) -> None:
        """Start again in the same folder."""
        assert self.process.poll() is not None
        self.process = self._spawn()

    def log(self) -> str:
        """Everything the process has printed."""
        return (self.folder / "run.log").read_text()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        self._log.close()


def sealed_rows(store: Path) -> int:
    """Rows in the store by its logs alone."""
    rows = 0
    for entry in store.glob("log/*/*/*.json"):
        if entry.parts[-3].startswith("_"):
            continue
        content = json.loads(entry.read_bytes())
        if content["kind"] == "seal":
            rows += content["segment"]["rows"]
    return rows


def wait_until(condition: Any, timeout_s: float, what: str = "") -> None:
    """Poll a condition that another process brings about."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)

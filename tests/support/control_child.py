"""The control server as a process of its own, its `_control` in memory. Prints its port, runs until killed.

usage: control_child.py JOURNAL PORT [OPTIONS OF killswitch AS JSON]
"""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parents[1]


class ControlChild(NamedTuple):
    """Where it listens."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def running_control(journal: Path, port: int = 0, **options: object) -> Iterator[ControlChild]:
    """A control server for the length of a test, killed at its end."""
    process = subprocess.Popen(
        [sys.executable, __file__, journal, str(port), json.dumps(options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
    )
    try:
        assert process.stdout is not None
        yield ControlChild(process, int(process.stdout.readline()))
    finally:
        process.kill()
        process.communicate()


def main(journal: str, port: str, options: str) -> None:
    from support.killswitch import running_switch

    from pipeline.control_app import build_control_app, serve_in_thread

    with running_switch(Path(journal), **json.loads(options)) as switch:
        print(serve_in_thread(build_control_app(switch, dict), "127.0.0.1", int(port)).port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])

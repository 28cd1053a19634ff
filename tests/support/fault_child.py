"""Run by fault_matrix.py in a process of its own: forks once for each request, and lets that process do an
operation until it kills itself at a call.

Reads one JSON request a line: {"operation", "folder", "fault", "at"}; answers with the exit status.
"""

import json
import os
import signal
import sys
from pathlib import Path

from support.disk import Disk
from support.fault_operations import OPERATIONS
from support.stage import Stage, small_bundles


def serve_requests() -> None:
    """One child at a time; everything is imported once."""
    operations = {operation.name: operation for operation in OPERATIONS}
    small_bundles()
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                stage = Stage(Path(request["folder"]))
                act = operations[request["operation"]].begin(stage)
                disk = Disk(
                    stage.folder,
                    request["fault"],
                    request["at"],
                    lambda: os.kill(os.getpid(), signal.SIGKILL),
                )
                with disk.mounted():
                    act()
                status = 0
            except BaseException:  # noqa: BLE001 (the test shows the status and what stands on stderr)
                sys.excepthook(*sys.exc_info())  # pyright: ignore[reportArgumentType] (there is one)
            os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve_requests()

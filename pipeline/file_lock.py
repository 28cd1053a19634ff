"""A lock that processes of one machine take in turn, and that ends with the process that holds it."""

import contextlib
import fcntl
import os
import time
from collections.abc import Generator
from pathlib import Path

_LOOK_AGAIN_S = 0.05


@contextlib.contextmanager
def file_lock(path: Path, *, wait_s: float = 0.0) -> Generator[bool]:
    """Whether this process now holds the lock on the file at `path`, which is made if it is not there.

    Waits at most so long for whoever holds it. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _take(descriptor, time.monotonic() + wait_s)
    finally:
        # Closing alone would not let go of it while a forked child has the descriptor too.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _take(descriptor: int, deadline_s: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_LOOK_AGAIN_S)

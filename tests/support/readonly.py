"""A store that really cannot be written, by root either: without CAP_DAC_OVERRIDE permission bits bind it."""

import ctypes
import os
import sys
from pathlib import Path

_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE = 1


def obey_permissions() -> None:
    """In the child, before exec: give up root's power to write where the bits forbid it (Linux)."""
    if os.geteuid() == 0:
        if sys.platform != "linux":
            raise OSError("root without Linux capabilities writes anywhere: run the tests as a user")
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "CAP_DAC_OVERRIDE cannot be given up")


def set_writable(root: Path, *, writable: bool) -> None:
    """Every directory under `root`: 0755 or 0555."""
    for directory, _, _ in os.walk(root):
        Path(directory).chmod(0o755 if writable else 0o555)

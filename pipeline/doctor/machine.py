"""The machine: disks, volumes, the clock."""

import ctypes
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.config import Config
from pipeline.doctor.model import CheckResult, fails, warning, well
from pipeline.respond.engine import sqlite_file

LOW_SHARE, LOW_BYTES = 0.10, 5 * 1024**3
FULL_SHARE, FULL_BYTES = 0.02, 512 * 1024**2
UNSYNCHRONISED = 5
"""TIME_ERROR of adjtimex(2)."""


def disks(config: Config) -> Iterator[CheckResult]:
    """Room, and what must not share a volume."""
    places = {"store": config.store.local_directory, "journal": config.killswitch.journal}
    file = sqlite_file(config.state)
    if file is not None:
        places["state database"] = file.parent
    for name, path in places.items():
        yield _room(f"disk of the {name}", _nearest(path))
    if _nearest(places["store"]).stat().st_dev == _nearest(places["journal"]).stat().st_dev:
        yield warning(
            "volumes",
            "the kill switch's journal lies on the store's volume: when that is full or gone, trips are "
            "served from memory alone",
            "set killswitch.journal to a directory on another volume",
        )
    else:
        yield well("volumes", "the journal has a volume of its own")


def clock() -> Iterator[CheckResult]:
    """Whether something keeps this clock right: event times are judged by it."""
    synchronised = clock_is_synchronised()
    if synchronised is None:
        yield warning("clock", "this system does not tell whether its clock is kept right", "see to NTP")
    elif synchronised:
        yield well("clock", "kept right by the system's time service")
    else:
        yield warning(
            "clock",
            "the kernel says that nothing keeps it right",
            "run a time service (chrony, systemd-timesyncd) on this host, or on the host of this container",
        )


def clock_is_synchronised() -> bool | None:
    """What the kernel knows of the clock; None where it cannot be asked."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "adjtimex"):
        return None
    state = int(libc.adjtimex(ctypes.create_string_buffer(512)))  # all zero: asks, changes nothing
    return None if state < 0 else state != UNSYNCHRONISED


def _room(name: str, path: Path) -> CheckResult:
    total, _, free = shutil.disk_usage(path)
    says = f"{free / 1024**3:,.1f} of {total / 1024**3:,.1f} GiB free"
    if free < min(FULL_SHARE * total, FULL_BYTES):
        return fails(name, says, f"make room on the volume of {path}; what cannot be sealed waits in Kafka")
    if free < min(LOW_SHARE * total, LOW_BYTES):
        return warning(name, says, f"make room on the volume of {path}, or shorten [[retention]]")
    return well(name, says)


def _nearest(path: Path) -> Path:
    """The path, or the closest directory above it that is there."""
    path = path.absolute()
    return next(one for one in (path, *path.parents) if one.is_dir())

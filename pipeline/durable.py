"""The few ways in which anything durable is written: every file of the project goes through here.

Each function returns only when what it wrote survives a power cut. All of them call `os` by
attribute (`os.fsync`, `os.link`, …), which is what lets the crash tests kill a process at each call.
"""

import contextlib
import os
import secrets
from pathlib import Path

_SYNCED: set[Path] = set()
"""Directories whose names this process has seen synced."""


def make_directory(path: Path, mode: int = 0o750) -> None:
    """Create `path` and its parents, each entry synced to its parent.

    One that exists is synced too, the first time: whoever made it may have died before that.
    """
    if path in _SYNCED and path.is_dir():
        return
    if not path.is_dir():
        make_directory(path.parent, mode)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, mode)  # noqa: PTH102 (by attribute, see above)
    # Not ours to read, so not ours to have made.
    with contextlib.suppress(PermissionError):
        sync_directory(path.parent)
    _SYNCED.add(path)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_exclusive(target: Path, content: bytes, staging: Path, mode: int = 0o440) -> bool:
    """Create `target` with `content`, or leave what is there: whole or not at all, never overwritten.

    Returns True where this call created it or it already holds equal bytes (a time-out that
    persisted), False where it exists with other bytes. `staging` is a directory on the same volume.
    """
    temporary = staging / f"{target.name}.{secrets.token_hex(8)}"
    write_synced(temporary, content, mode)
    try:
        os.link(temporary, target)
    except FileExistsError:
        # The other creation may have died between link and directory sync: make it durable first.
        sync_directory(target.parent)
        return target.read_bytes() == content
    finally:
        os.unlink(temporary)  # noqa: PTH108
    sync_directory(target.parent)
    return True


def replace_atomically(target: Path, content: bytes, mode: int = 0o640) -> None:
    """Put `content` at `target` in one step, over whatever is there. For caches and pointers only."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    write_synced(temporary, content, mode)
    os.replace(temporary, target)  # noqa: PTH105
    sync_directory(target.parent)


def write_synced(path: Path, content: bytes, mode: int) -> None:
    """Write a new file and sync its bytes (not its name)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte; a short write goes on where it stopped."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def remove(path: Path) -> None:
    """Delete a file if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108

"""Hyperscan databases, kept from process to process: to compile ours takes seconds, to load it milliseconds.

What is kept follows from the patterns and the library alone, and holds nothing that was read. It is used only
where nobody else could have written it; where it cannot be kept it is compiled each time.
"""

import contextlib
import hashlib
import os
import platform
import stat
import tempfile
from importlib.metadata import version
from pathlib import Path

import hyperscan

FLAGS = hyperscan.HS_FLAG_PREFILTER | hyperscan.HS_FLAG_SINGLEMATCH
"""A match more than once tells nothing new: the cost of a scan is bounded by its length."""
KEPT_FILES = 16
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH

Forms = tuple[tuple[int, bytes], ...]
"""(id, scan form) pairs."""


def database(forms: Forms) -> hyperscan.Database:
    """The database of these scan forms. Raises hyperscan.error for one that it refuses."""
    path = _path(forms)
    kept = _read(path) if path else None
    if kept is not None:
        with contextlib.suppress(hyperscan.error):  # of another library or processor
            return hyperscan.loadb(kept, hyperscan.HS_MODE_BLOCK)
    made = hyperscan.Database()
    made.compile(
        expressions=[form for _, form in forms],
        ids=[identifier for identifier, _ in forms],
        elements=len(forms),
        flags=[FLAGS] * len(forms),
    )
    if path:
        with contextlib.suppress(OSError):
            _write(path, hyperscan.dumpb(made))
    return made


def _path(forms: Forms) -> Path | None:
    """Where the database is kept; None where there is no home for it."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    about = (version("hyperscan"), platform.machine(), FLAGS, forms)
    return home / "auditfuse" / f"scan-{hashlib.sha256(repr(about).encode()).hexdigest()[:32]}.hsdb"


def _read(path: Path) -> bytes | None:
    """The content, if this user alone can have written it."""
    try:
        if not _is_ours(path.parent.lstat()):
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            return file.read() if _is_ours(os.fstat(descriptor)) else None
    except OSError:
        return None


def _is_ours(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & _OTHERS_MAY_WRITE


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix="new-", delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)
    kept = sorted(path.parent.glob("scan-*.hsdb"), key=lambda each: each.stat().st_mtime, reverse=True)
    for old in kept[KEPT_FILES:]:
        old.unlink(missing_ok=True)

"""A disk that fails: every call by which something below a folder becomes durable is counted, and one of
them goes wrong. What was not synced is known, so that a power cut can take it away.

The calls are those of `os`, by attribute, which is how `pipeline/durable.py` makes them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from support.crash_child import place_of

Fault = Literal["not persisted", "persisted", "torn", "ENOSPC", "EIO", "killed", "killed torn", "power cut"]
FAULTS: dict[Fault, str] = {
    "not persisted": "the call fails, nothing was done; later ones work",
    "persisted": "the call fails although it was done; later ones work",
    "torn": "half of the bytes are written, then the call fails; later ones work",
    "ENOSPC": "from this call on the disk is full, until whoever writes has given up",
    "EIO": "from this call on every call fails, and what no fsync confirmed is lost; then a new start",
    "killed": "the process is dead before this call",
    "killed torn": "the process is dead when half of the bytes are written",
    "power cut": "the process is dead before this call, and all that was not synced is lost",
}
DEADLY: frozenset[Fault] = frozenset({"killed", "killed torn", "power cut"})
CALLS = (
    "open",
    "write",
    "fsync",
    "close",
    "link",
    "unlink",
    "mkdir",
    "replace",
    "rename",
    "rmdir",
    "truncate",
)
"""Every durable call of `os` that is counted."""
TAKES_SPACE = frozenset({"write", "link", "mkdir", "replace", "rename"})


class Killed(BaseException):
    """The process is dead: nothing it still does reaches the disk."""


class Call(NamedTuple):
    """A call, and the kind of place that it went to."""

    name: str
    place: str


class _Undo(NamedTuple):
    """A change of a name that its directory was not yet synced for."""

    path: Path
    backup: Path | None
    """What stood there before."""


class Disk:
    """Counts the calls, lets number `at` (from 0) go wrong, and knows what is not synced.

    `end` is called where the process dies: by default it raises Killed, and so does every later call.
    """

    def __init__(
        self, folder: Path, fault: Fault | None = None, at: int = -1, end: Callable[[], None] | None = None
    ) -> None:
        self.calls: list[Call] = []
        self.made: set[Path] = set()
        """Names that a counted call made, or made anew."""
        self.removed: set[Path] = set()
        self.dead = False
        self._folder = folder
        self._fault: Fault | None = fault
        self._at = at
        self._end = end
        self._failing = False
        self._descriptors: dict[int, Path] = {}
        self._unsynced_names: list[_Undo] = []
        self._unsynced_content: set[Path] = set()
        self._backups = folder.with_name(f"{folder.name}.lost")
        self._real = {name: getattr(os, name) for name in CALLS}

    @property
    def hit(self) -> Call | None:
        """The call that went wrong, None where it did not come to that."""
        return self.calls[self._at] if 0 <= self._at < len(self.calls) else None

    def recover(self) -> None:
        """The disk works again."""
        self._failing, self._fault, self.dead = False, None, False

    @contextlib.contextmanager
    def mounted(self) -> Generator[Disk]:
        """Within, every call goes through here. What a dead process held open is closed at the end."""
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, getattr(self, f"_{name}"))
            try:
                yield self
            finally:
                for descriptor, path in self._descriptors.items():
                    with contextlib.suppress(OSError):
                        if Path(f"/proc/self/fd/{descriptor}").readlink() == path:
                            self._real["close"](descriptor)
                self._descriptors.clear()

    def lose(self) -> None:
        """The power was cut: names and contents that were not synced are gone, removed names are back."""
        for path in self._unsynced_content:
            with contextlib.suppress(FileNotFoundError):
                self._halve(path)
        for path, backup in reversed(self._unsynced_names):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            if backup is not None and path.parent.is_dir():
                backup.rename(path)
        self._unsynced_content.clear()
        self._unsynced_names.clear()

    def _counted(
        self, name: str, path: Path, call: Callable[[], Any], torn: Callable[[], Any] | None = None
    ) -> Any:
        if self.dead:
            raise Killed
        self.calls.append(Call(name, place_of(path, self._folder) or ""))
        if len(self.calls) - 1 == self._at and self._fault is not None:
            return self._go_wrong(self._fault, name, path, call, torn)
        if self._failing:
            self._fail(name, path, torn)
        return call()

    def _go_wrong(
        self,
        fault: Fault,
        name: str,
        path: Path,
        call: Callable[[], Any],
        torn: Callable[[], Any] | None,
    ) -> Any:
        if fault == "persisted":
            call()
        if fault in ("torn", "killed torn") and torn is not None:
            torn()
        if fault in DEADLY:
            self.dead = True
            if self._end is not None:
                self._end()
            raise Killed
        self._failing = fault in ("ENOSPC", "EIO")
        self._fail(name, path, torn)
        if fault == "ENOSPC":  # a call that takes no space: the next one that does fails
            return call()
        raise OSError(errno.ETIMEDOUT, "injected")

    def _fail(self, name: str, path: Path, torn: Callable[[], Any] | None) -> None:
        if self._fault == "ENOSPC" and name in TAKES_SPACE:
            if torn is not None:
                torn()
            raise OSError(errno.ENOSPC, "injected")
        if self._fault == "EIO":
            if name == "fsync" and path in self._unsynced_content:
                self._halve(path)
                self._unsynced_content.discard(path)
            raise OSError(errno.EIO, "injected")

    def _open(self, path: Any, flags: int, mode: int = 0o777, **other: Any) -> int:
        place = self._below(path)
        if place is None or other or flags & os.O_TMPFILE == os.O_TMPFILE:  # without a name, nothing lasts
            return self._real["open"](path, flags, mode, **other)

        def call() -> int:
            is_new = bool(flags & os.O_CREAT) and not place.exists()
            descriptor = self._real["open"](path, flags, mode)
            self._descriptors[descriptor] = place
            if is_new:
                self._name_changed(place, None)
                self._unsynced_content.add(place)
                self.made.add(place)
            return descriptor

        return self._counted("open", place, call)

    def _write(self, descriptor: int, content: Any) -> int:
        path = self._descriptors.get(descriptor)
        if path is None:
            return self._real["write"](descriptor, content)

        def call() -> int:
            self._unsynced_content.add(path)
            self.made.add(path)
            return self._real["write"](descriptor, content)

        return self._counted(
            "write", path, call, lambda: self._real["write"](descriptor, content[: len(content) // 2])
        )

    def _fsync(self, descriptor: int) -> None:
        path = self._descriptors.get(descriptor)
        if path is None:
            return

        def call() -> None:
            # The disk itself is not waited for.
            self._unsynced_content.discard(path)
            self._unsynced_names = [undo for undo in self._unsynced_names if undo.path.parent != path]

        self._counted("fsync", path, call)

    def _close(self, descriptor: int) -> None:
        path = self._descriptors.get(descriptor)
        if path is None or self.dead:
            if path is None:
                self._real["close"](descriptor)
            return

        def call() -> None:
            del self._descriptors[descriptor]
            self._real["close"](descriptor)

        try:
            self._counted("close", path, call)
        except OSError:
            if descriptor in self._descriptors:  # a close that fails has closed all the same
                call()
            raise

    def _link(self, source: Any, target: Any, **other: Any) -> None:
        place = self._below(target)
        if place is None:
            self._real["link"](source, target, **other)
            return

        def call() -> None:
            self._real["link"](source, target, **other)
            self._name_changed(place, None)
            self.made.add(place)
            if Path(source).absolute() in self._unsynced_content:
                self._unsynced_content.add(place)

        self._counted("link", place, call)

    def _unlink(self, path: Any, **other: Any) -> None:
        place = self._below(path)
        if place is None or other:
            self._real["unlink"](path, **other)
            return

        def call() -> None:
            backup = self._backup(place)
            self._real["unlink"](path)
            self._name_changed(place, backup)
            self.removed.add(place)

        self._counted("unlink", place, call)

    def _replace(self, source: Any, target: Any, **other: Any) -> None:
        self._moved("replace", source, target, other)

    def _rename(self, source: Any, target: Any, **other: Any) -> None:
        self._moved("rename", source, target, other)

    def _moved(self, name: str, source: Any, target: Any, other: dict[str, Any]) -> None:
        place = self._below(target)
        if place is None:
            self._real[name](source, target, **other)
            return

        def call() -> None:
            backup = self._backup(place) if place.is_file() else None
            self._real[name](source, target, **other)
            self._name_changed(place, backup)
            self.made.add(place)
            self.removed.add(Path(source).absolute())

        self._counted(name, place, call)

    def _mkdir(self, path: Any, *arguments: Any, **other: Any) -> None:
        place = self._below(path)
        if place is None:
            self._real["mkdir"](path, *arguments, **other)
            return

        def call() -> None:
            self._real["mkdir"](path, *arguments, **other)
            self._name_changed(place, None)
            self.made.add(place)

        self._counted("mkdir", place, call)

    def _rmdir(self, path: Any, **other: Any) -> None:
        place = self._below(path)
        if place is None or other:
            self._real["rmdir"](path, **other)
            return
        self._counted("rmdir", place, lambda: self._real["rmdir"](path))

    def _truncate(self, path: Any, length: int) -> None:
        place = self._descriptors.get(path) if isinstance(path, int) else self._below(path)
        if place is None:
            self._real["truncate"](path, length)
            return
        self._counted("truncate", place, lambda: self._real["truncate"](path, length))

    def _below(self, path: Any) -> Path | None:
        if isinstance(path, int):
            return None
        absolute = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 (names only)
        return absolute if place_of(absolute, self._folder) is not None else None

    def _name_changed(self, path: Path, backup: Path | None) -> None:
        self._unsynced_names.append(_Undo(path, backup))

    def _backup(self, path: Path) -> Path | None:
        """Another name, outside of the folder, for what stands at `path`."""
        if not path.is_file():
            return None
        with contextlib.suppress(FileExistsError):
            self._real["mkdir"](self._backups)
        backup = self._backups / str(len(self.calls))
        self._real["link"](path, backup)
        return backup

    def _halve(self, path: Path) -> None:
        path.chmod(0o640)
        self._real["truncate"](path, path.stat().st_size // 2)

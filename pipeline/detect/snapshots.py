"""Snapshots of detection: one an hour of event time, keyed by the configuration's hash; a cache.

A restart takes the newest one that is not ahead of what was committed, and folds on from the sealed ends that
it stands at.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import structlog

from detectors.window import HOUR_MS
from pipeline import durable
from pipeline.detect.config import DetectConfig
from pipeline.detect.fold import Detection
from pipeline.detect.model import Part, Partition
from pipeline.errors import AuditfuseError

log = structlog.get_logger()

KEPT = 4
"""Hours of event time whose last snapshot is kept, of all configurations together."""
_NAME = re.compile(r"detect-([0-9a-f]+)-(\d+)\.bin")


class Folder(Protocol):
    """Where snapshots lie. Every method may raise OSError."""

    def names(self) -> list[str]: ...

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, content: bytes) -> None:
        """Whole or not at all, in the place of one of that name."""
        ...

    def saved_ms(self, name: str) -> float: ...

    def remove(self, name: str) -> None: ...


class LocalFolder:
    """A directory of this machine."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def names(self) -> list[str]:
        """None where it does not exist."""
        return [path.name for path in self._directory.iterdir()] if self._directory.is_dir() else []

    def read(self, name: str) -> bytes:
        """Its bytes."""
        return (self._directory / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Makes the directory where it is missing."""
        durable.make_directory(self._directory)
        durable.replace_atomically(self._directory / name, content)

    def saved_ms(self, name: str) -> float:
        """When it was written."""
        return (self._directory / name).stat().st_mtime * 1000

    def remove(self, name: str) -> None:
        """It may be gone already."""
        durable.remove(self._directory / name)


class Snapshots:
    """In one folder. Nothing of it is needed: what is missing or damaged is folded anew."""

    def __init__(self, folder: Path | Folder, config: DetectConfig, part: Part = "all") -> None:
        self._folder = LocalFolder(folder) if isinstance(folder, Path) else folder
        self._config = config
        self._part: Part = part

    def save(self, detection: Detection) -> None:
        """Keep its state as that of the hour it is in, and the newest ones beside it."""
        hour = (detection.watermark_ms or 0) // HOUR_MS
        try:
            self._folder.write(f"detect-{detection.config_hash}-{hour}.bin", detection.snapshot())
            for old in list(self._newest_first())[KEPT:]:
                self._folder.remove(old)
        except OSError as error:
            log.warning("detection snapshot not saved", error=type(error).__name__)

    def newest(self) -> Detection | None:
        """The newest state of this configuration, for looking at."""
        for name in self._newest_first():
            try:
                if name.startswith(f"detect-{self._config.hash}-"):
                    return Detection.restore(self._config, self._folder.read(name), self._part)
            except (OSError, AuditfuseError):
                continue
        return None

    def nearest(self, ends: Mapping[Partition, int], not_before_ms: int) -> Detection | None:
        """The newest state of this configuration that is not ahead of these ends. What was saved before a
        time (an erasure) is removed."""
        for name in list(self._newest_first()):
            try:
                if self._folder.saved_ms(name) < not_before_ms:
                    self._folder.remove(name)
                    continue
                if not name.startswith(f"detect-{self._config.hash}-"):
                    continue
                detection = Detection.restore(self._config, self._folder.read(name), self._part)
            except (OSError, AuditfuseError):
                continue
            if all(end <= ends.get(partition, 0) for partition, end in detection.ends.items()):
                return detection
        return None

    def drop(self) -> None:
        """Remove all of them: an erasure has made them hold what is no more."""
        for name in list(self._newest_first()):
            self._folder.remove(name)

    def _newest_first(self) -> Iterator[str]:
        try:
            names = self._folder.names()
        except OSError:
            return
        found = [match for name in names if (match := _NAME.fullmatch(name))]
        for match in sorted(found, key=lambda one: (int(one[2]), one[1]), reverse=True):
            yield match[0]

"""Snapshots of detection: one an hour of event time, keyed by the configuration's hash; a cache.

A restart takes the newest one that is not ahead of what was committed, and folds on from the sealed ends that
it stands at.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog

from detectors.window import HOUR_MS
from pipeline import durable
from pipeline.detect.config import DetectConfig
from pipeline.detect.fold import Detection
from pipeline.detect.model import Partition
from pipeline.errors import AuditfuseError

log = structlog.get_logger()

KEPT = 4
"""Hours of event time whose last snapshot is kept, of all configurations together."""
_NAME = re.compile(r"detect-([0-9a-f]+)-(\d+)\.bin")


class Snapshots:
    """In one directory. Nothing of it is needed: what is missing or damaged is folded anew."""

    def __init__(self, directory: Path, config: DetectConfig) -> None:
        self._directory = directory
        self._config = config

    def save(self, detection: Detection) -> None:
        """Keep its state as that of the hour it is in, and the newest ones beside it."""
        hour = (detection.watermark_ms or 0) // HOUR_MS
        try:
            durable.make_directory(self._directory)
            path = self._directory / f"detect-{detection.config_hash}-{hour}.bin"
            durable.replace_atomically(path, detection.snapshot())
            for old in list(self._newest_first())[KEPT:]:
                durable.remove(old)
        except OSError as error:
            log.warning("detection snapshot not saved", error=type(error).__name__)

    def newest(self) -> Detection | None:
        """The newest state of this configuration, for looking at."""
        for path in self._newest_first():
            try:
                if path.name.startswith(f"detect-{self._config.hash}-"):
                    return Detection.restore(self._config, path.read_bytes())
            except (OSError, AuditfuseError):
                continue
        return None

    def nearest(self, ends: Mapping[Partition, int], not_before_ms: int) -> Detection | None:
        """The newest state of this configuration that is not ahead of these ends. What was saved before a
        time (an erasure) is removed."""
        for path in list(self._newest_first()):
            try:
                if path.stat().st_mtime * 1000 < not_before_ms:
                    durable.remove(path)
                    continue
                if not path.name.startswith(f"detect-{self._config.hash}-"):
                    continue
                detection = Detection.restore(self._config, path.read_bytes())
            except (OSError, AuditfuseError):
                continue
            if all(end <= ends.get(partition, 0) for partition, end in detection.ends.items()):
                return detection
        return None

    def drop(self) -> None:
        """Remove all of them: an erasure has made them hold what is no more."""
        for path in list(self._newest_first()):
            durable.remove(path)

    def _newest_first(self) -> Iterator[Path]:
        try:
            names = [path.name for path in self._directory.iterdir()]
        except OSError:
            return
        found = [match for name in names if (match := _NAME.fullmatch(name))]
        for match in sorted(found, key=lambda one: (int(one[2]), one[1]), reverse=True):
            yield self._directory / match[0]

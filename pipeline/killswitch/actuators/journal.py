"""What an actuator was asked and has acknowledged, kept in `<journal>/actuators/<name>.json`."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import structlog

from pipeline import durable
from pipeline.killswitch.actuators.ledger import Entry
from pipeline.killswitch.health import fault_of

FORMAT = 1

log = structlog.get_logger()


class _Content(msgspec.Struct):
    format: int
    entries: list[Entry]


class ActuatorJournal:
    """One actuator's file."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory / "actuators"
        self._name = name
        self._path = self._directory / f"{name}.json"
        self._is_failing = False

    def load(self) -> list[Entry]:
        """What it holds. A garbled file is put aside: trips in force are asked for anew."""
        try:
            content = msgspec.json.decode(self._path.read_bytes(), type=_Content)
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.error(
                "what this actuator was asked cannot be read: release by hand what it still holds",
                actuator=self._name,
                fault=fault_of(error),
            )
            return []
        for entry in content.entries:
            entry.not_before_s = 0.0  # of another process's clock
        return content.entries if content.format == FORMAT else []

    def encode(self, entries: Iterable[Entry]) -> bytes:
        """What `save` keeps."""
        return msgspec.json.encode(_Content(FORMAT, list(entries)))

    def save(self, content: bytes) -> None:
        """Keep it; returns once it survives a power cut. A volume that fails stops no order."""
        try:
            durable.make_directory(self._directory, 0o700)
            durable.replace_atomically(self._path, content, 0o640)
        except OSError as error:
            if not self._is_failing:
                log.error("an actuator's journal fails", actuator=self._name, fault=fault_of(error))
            self._is_failing = True
        else:
            self._is_failing = False

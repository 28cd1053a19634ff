"""The journal: trips on a volume other than the store, so that they outlive it and a killed server.

    <journal>/trips/<id>.json      one trip a file, created whole or not at all; gone once it is cached as sealed
    <journal>/sealed.json          what `_control` said when it was last read: how far, and what still matters
    <journal>/operator.token       this machine's operator token (mode 0600)
    <journal>/staging/             files being written; never read

Anyone who can write here can trip, and that is all: the journal holds trips, and what loosens is never
read from a trip file. A trip file that cannot be read is served as a trip of everything until a person
has looked at it, since nobody can tell any more whom it stopped.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline import durable
from schemas.command import Command, Selector

TRIP_ID = re.compile(r"trip_[0-9a-f]{8,64}")
MAX_TRIP_BYTES = 65_536


class SealedCache(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last known content of `_control`, compacted to what the switch still needs."""

    offset: int
    """The highest offset that was read."""
    commands: list[Command]
    """Sealed commands about trips that are in force."""
    lifted: list[str]
    """Ids of trips that were lifted, so that a repeated finding does not trip again."""


class Scan(NamedTuple):
    """What the journal directory holds: readable trips, and the names of files that are not."""

    trips: dict[str, Command]
    unreadable: dict[str, str]
    """File name → what is wrong with it, in words without any of its content."""


class Journal:
    """One journal directory. Every method raises OSError where the volume fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._trips = path / "trips"
        self._staging = path / "staging"
        self._cache = path / "sealed.json"

    def prepare(self) -> None:
        """Make the directories."""
        for directory in (self.path, self._trips, self._staging):
            durable.make_directory(directory, 0o700)

    def add(self, trip: Command) -> None:
        """Write a trip; returns once it survives a power cut."""
        self.prepare()
        target = self._trips / f"{trip.id}.json"
        durable.create_exclusive(target, msgspec.json.encode(trip), self._staging, 0o640)

    def remove(self, trip_id: str) -> None:
        """Forget a trip that is sealed and in the cache."""
        durable.remove(self._trips / f"{trip_id}.json")

    def scan(self, known: dict[str, Command]) -> Scan:
        """Read the directory; trips in `known` are not read again. A missing directory is empty."""
        scan = Scan({}, {})
        try:
            names = sorted(os.listdir(self._trips))  # noqa: PTH208
        except FileNotFoundError:
            return scan
        for name in names:
            trip_id = name.removesuffix(".json")
            if trip_id in known:
                scan.trips[trip_id] = known[trip_id]
                continue
            read = _read_trip(self._trips / name)
            if isinstance(read, Command):
                scan.trips[read.id] = read
            elif read is not None:
                scan.unreadable[name] = read
        return scan

    def save_cache(self, cache: SealedCache) -> None:
        """Remember what was sealed."""
        self.prepare()
        durable.replace_atomically(self._cache, msgspec.json.encode(cache), 0o640)

    def load_cache(self) -> SealedCache | None:
        """What was sealed when last seen; None at the first run. Raises ValueError where it is garbled."""
        try:
            content = self._cache.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return msgspec.json.decode(content, type=SealedCache)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError("sealed.json is garbled") from error


def unreadable_trip(name: str, why: str, at_ms: int) -> Command:
    """The trip that stands in for a trip file that cannot be read: everything, off."""
    stem = name.removesuffix(".json")
    return Command(
        id=stem if TRIP_ID.fullmatch(stem) else "trip_" + stem.encode().hex()[:48].ljust(8, "0"),
        command="trip",
        at_ms=at_ms,
        by="auditfuse",
        automatic=False,
        reason=f"the journal's trip file {name[:80]!r} {why}; nobody can tell whom it stopped",
        selector=Selector(),
        mode="off",
    )


def _read_trip(path: Path) -> Command | str | None:
    """The trip, or what is wrong with the file, or None where it is gone by now."""
    try:
        if not path.is_file():
            return "is not a regular file"
        with path.open("rb") as file:
            content = file.read(MAX_TRIP_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError:
        return "cannot be read"
    if len(content) > MAX_TRIP_BYTES:
        return "is too large"
    try:
        command = msgspec.json.decode(content, type=Command)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "is garbled"
    if command.command != "trip":
        return "holds a command that is not a trip"
    if f"{command.id}.json" != path.name or not TRIP_ID.fullmatch(command.id):
        return "does not hold the trip that its name says"
    return command

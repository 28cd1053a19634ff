"""The journal: trips on a volume other than the store, so that they outlive it and a killed server.

    <journal>/trips/<id>.json      one trip a file, created whole or not at all; gone once cached as sealed
    <journal>/sealed.json          what `_control` said when it was last read: how far, and what still matters
    <journal>/longest_lease_s      the longest lease that any server on this journal has given out
    <journal>/operator.token       this machine's operator token (mode 0600)
    <journal>/staging/             files being written; never read

Anyone who can write here can trip, and that is all: the journal holds trips, and what loosens is never
read from here but what `_control` said. A trip file that cannot be read is served as a trip of everything
until a person has looked at it, since nobody can tell any more whom it stopped.
"""

import math
import os
import re
from collections.abc import Mapping
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
    """What the journal directory holds."""

    trips: dict[str, Command]
    unreadable: dict[str, str]
    """Trip id → what is wrong with its file, in words without any of its content."""
    strange: list[str]
    """Names of files that are no trip's: named in the log, otherwise nothing."""


class Journal:
    """One journal directory. Every method raises OSError where the volume fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._trips = path / "trips"
        self._staging = path / "staging"
        self._cache = path / "sealed.json"
        self._longest_lease = path / "longest_lease_s"

    def prepare(self) -> None:
        """Make the directories."""
        for directory in (self.path, self._trips, self._staging):
            durable.make_directory(directory, 0o700)

    def add(self, trip: Command) -> None:
        """Write a trip; returns once it survives a power cut."""
        self.prepare()
        target = self._trips / f"{trip.id}.json"
        durable.create_exclusive(target, msgspec.json.encode(trip), self._staging, 0o640)

    def amend(self, trip: Command) -> None:
        """Put a trip in the place of the one with its id, unless that has gone."""
        target, aside = self._trips / f"{trip.id}.json", self._staging / f"{trip.id}.amended"
        if target.exists():
            durable.write_synced(aside, msgspec.json.encode(trip), 0o640)
            os.replace(aside, target)  # noqa: PTH105 (by attribute: crash tests)
            durable.sync_directory(self._trips)

    def remove(self, trip_id: str) -> None:
        """Forget a trip that is sealed and in the cache."""
        durable.remove(self._trips / f"{trip_id}.json")

    def scan(self, known: Mapping[str, Command]) -> Scan:
        """Read the directory; trips in `known` are not read again. A missing directory is empty."""
        scan = Scan({}, {}, [])
        try:
            names = sorted(os.listdir(self._trips))  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            return scan
        for name in names:
            trip_id = name.removesuffix(".json")
            if not TRIP_ID.fullmatch(trip_id) or trip_id == name:
                scan.strange.append(name)
                continue
            read = known.get(trip_id) or _read_trip(self._trips / name)
            if isinstance(read, Command):
                scan.trips[trip_id] = read
            elif read is not None:
                scan.unreadable[trip_id] = read
        return scan

    def save_cache(self, cache: SealedCache) -> None:
        """Remember what was sealed."""
        self.prepare()
        durable.replace_atomically(self._cache, msgspec.json.encode(cache), 0o640)

    def load_cache(self) -> SealedCache | None:
        """What was sealed when last seen; None at the first run. Raises ValueError where it is garbled."""
        try:
            content = self._cache.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return msgspec.json.decode(content, type=SealedCache)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError("sealed.json is garbled") from error

    def longest_lease_s(self, lease_s: float) -> float:
        """The longest lease that may still run from an earlier process, and from now on this one's.

        It is never lowered: a restart then waits too long rather than not long enough. Raises ValueError
        where it is garbled.
        """
        try:
            earlier_s = float(self._longest_lease.read_bytes())
        except FileNotFoundError:
            earlier_s = 0.0
        if not lease_s <= earlier_s < math.inf:
            self.prepare()
            durable.replace_atomically(self._longest_lease, str(lease_s).encode())
        return max(earlier_s, lease_s)


def unreadable_trip(trip_id: str, why: str, at_ms: int) -> Command:
    """The trip that stands in for a trip file that cannot be read: everything, off."""
    return Command(
        id=trip_id,
        command="trip",
        at_ms=at_ms,
        by="auditfuse",
        automatic=False,
        reason=f"the journal's file of this trip {why}; nobody can tell whom it stopped",
        selector=Selector(),
        mode="off",
    )


def _read_trip(path: Path) -> Command | str | None:
    """The trip, or what is wrong with the file, or None where it is gone by now."""
    try:
        content = _read_bounded(path)
        command = msgspec.json.decode(content, type=Command)
    except FileNotFoundError:
        return None
    except OSError:
        return "cannot be read"
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "is garbled"
    if command.command != "trip":
        return "holds a command that is not a trip"
    return command if f"{command.id}.json" == path.name else "holds another trip than its name says"


def _read_bounded(path: Path) -> bytes:
    """The file's bytes; a file beyond the limit is cut, which no JSON survives."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(MAX_TRIP_BYTES)

"""The bytes of a log's entries, in files and bundles. Written apart from the reader that writers use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.audit.store import Store

BUNDLE_ENTRIES = 4096
_READ_ENTRIES = 128
"""So many files are read before the next are: at once, where each takes a round trip."""
_LOOSE = re.compile(r"(\d{12})\.json")
_BUNDLE = re.compile(r"(\d{12})-(\d{12})\.ndjson")
_BUNDLES = "bundles"


@dataclass
class LogFiles:
    """The entries of one log by number; what is wrong with the files is gathered while they are read."""

    store: Store
    topic_id: str
    partition: int
    faults: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """(entry, how)."""
    strangers: list[str] = field(default_factory=list[str])
    """Names in the log's directory that no log has."""
    _bundle: dict[int, bytes] = field(default_factory=dict[int, bytes])
    """The entries of the bundle that is being read."""

    def contents(self) -> Iterator[tuple[int, bytes]]:
        """Every entry that is there, in order. One bundle is in memory at a time."""
        # First the files, then the bundles: a file is deleted only hours after its bundle was made.
        loose = self._numbers()
        bundles = self._bundles()
        for number in sorted({n // BUNDLE_ENTRIES for n in loose} | bundles.keys()):
            self._bundle = self._entries_of(bundles[number]) if number in bundles else {}
            first = number * BUNDLE_ENTRIES
            for at in range(first, first + BUNDLE_ENTRIES, _READ_ENTRIES):
                numbers = [n for n in range(at, at + _READ_ENTRIES) if n in loose]
                files = self.store.read_each(self.topic_id, self.partition, numbers)
                yield from self._together(at, dict(zip(numbers, files, strict=True)))

    def _together(self, first: int, files: dict[int, bytes | None]) -> Iterator[tuple[int, bytes]]:
        for n in range(first, first + _READ_ENTRIES):
            content = self._content(n, files.get(n))
            if content is not None:
                yield n, content

    def _content(self, n: int, content: bytes | None) -> bytes | None:
        bundled = self._bundle.get(n)
        if content is not None and bundled is not None and content != bundled:
            self.faults.append((n, "has other bytes in its bundle than in its file"))
        return bundled if content is None else content

    def _numbers(self) -> set[int]:
        names = self.store.objects.names(self.store.log_prefix(self.topic_id, self.partition))
        matches = {name: _LOOSE.fullmatch(name) for name in names}
        self.strangers += [name for name, match in matches.items() if match is None and name != _BUNDLES]
        return {int(match[1]) for match in matches.values() if match}

    def _bundles(self) -> dict[int, str]:
        """The names of the bundles by number."""
        found: dict[int, str] = {}
        for name in self.store.objects.names(self._bundle_key()):
            match = _BUNDLE.fullmatch(name)
            first, last = (int(match[1]), int(match[2])) if match else (1, 0)
            if first % BUNDLE_ENTRIES or last != first + BUNDLE_ENTRIES - 1:
                self.strangers.append(f"{_BUNDLES}/{name}")
            else:
                found[first // BUNDLE_ENTRIES] = name
        return found

    def _entries_of(self, name: str) -> dict[int, bytes]:
        first = int(name[:12])
        try:
            lines = self.store.objects.read(f"{self._bundle_key()}/{name}").split(b"\n")
        except FileNotFoundError:
            return {}
        if len(lines) != BUNDLE_ENTRIES + 1 or lines[-1]:
            self.faults.append((first, f"its bundle {name} does not hold {BUNDLE_ENTRIES} whole entries"))
        return dict(zip(range(first, first + BUNDLE_ENTRIES), lines[:-1], strict=False))

    def _bundle_key(self) -> str:
        return f"{self.store.log_prefix(self.topic_id, self.partition)}/{_BUNDLES}"

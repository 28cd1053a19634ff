"""Our own word lists: sections of comma-separated values in `lists/*.txt`."""

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "lists"


@cache
def words(kind: str) -> tuple[str, ...]:
    """The values of one section, in the order of the file; KeyError for a section that no file has."""
    return _sections()[kind]


def kinds() -> tuple[str, ...]:
    """All sections."""
    return tuple(_sections())


@cache
def _sections() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for path in sorted(_FOLDER.glob("*.txt")):
        section = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("["):
                section = line.strip("[]")
                found[section] = []
            elif line and not line.startswith("#"):
                found[section].extend(value.strip() for value in line.split(", "))
    return {name: tuple(dict.fromkeys(values)) for name, values in found.items()}

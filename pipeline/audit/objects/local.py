"""Objects in a directory."""

from pathlib import Path
from typing import BinaryIO

from pipeline import durable
from pipeline.audit.objects.base import Kept


class LocalObjects:
    """A directory. Files are 0440 and appear by `link`, so whole or not at all."""

    reads_at_once = 1

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._staging = self.root / "staging"

    @property
    def name(self) -> str:
        return str(self.root)

    def exists(self) -> bool:
        return self.root.is_dir()

    def create(self, key: str, content: bytes) -> bool:
        target = self.root / key
        durable.make_directory(self._staging)
        durable.make_directory(target.parent)
        return durable.create_exclusive(target, content, self._staging)

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def open(self, key: str) -> BinaryIO:
        return (self.root / key).open("rb")

    def names(self, prefix: str) -> list[str]:
        directory = self.root / prefix
        return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []

    def delete(self, key: str) -> None:
        path = self.root / key
        durable.remove(path)
        # Even where it was gone: whoever removed it may have died before this. What was erased stays erased.
        if path.parent.is_dir():
            durable.sync_directory(path.parent)

    def kept(self, key: str) -> Kept | None:  # noqa: ARG002 (the contract's signature)
        return None

    def location(self, key: str) -> str:
        return str(self.root / key)

    def duckdb_setup(self) -> list[str]:
        return []

    def clean_staging(self, written_before_ms: int) -> None:
        for name in self.names("staging"):
            path = self._staging / name
            try:
                if path.stat().st_mtime * 1000 < written_before_ms:
                    durable.remove(path)
            except FileNotFoundError:
                continue

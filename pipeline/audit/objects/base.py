"""The contract of storage. One suite of tests runs against every implementation."""

from datetime import UTC, datetime
from typing import BinaryIO, NamedTuple, Protocol


class Kept(NamedTuple):
    """What a deletion leaves behind in the storage, out of our reach."""

    what: str
    until_ms: int | None
    """When that ends, None where nobody can say."""

    @property
    def text(self) -> str:
        """For people."""
        if self.until_ms is None:
            return f"{self.what}, until its own rules delete them"
        return f"{self.what} until {datetime.fromtimestamp(self.until_ms / 1000, UTC):%Y-%m-%d}"


class Objects(Protocol):
    """What the store asks of storage. Keys are relative paths with `/`.

    Nothing is ever overwritten; what exists was written whole. An implementation can be pickled and used
    by several threads.
    """

    reads_at_once: int
    """How many small reads are worth asking for at the same time."""

    @property
    def name(self) -> str:
        """Where it is, for people: an absolute path or a URL, never with a credential."""
        ...

    def exists(self) -> bool:
        """Whether anything was ever stored. Raises OSError."""
        ...

    def create(self, key: str, content: bytes) -> bool:
        """Create if absent, durably. True also where it already holds equal bytes; False where it
        holds others. Raises OSError where it is not known whether it was created: try again."""
        ...

    def read(self, key: str) -> bytes:
        """The whole content. Raises FileNotFoundError."""
        ...

    def open(self, key: str) -> BinaryIO:
        """The content to seek in. Raises FileNotFoundError."""
        ...

    def names(self, prefix: str) -> list[str]:
        """The names directly under a prefix, sorted; none where it does not exist."""
        ...

    def delete(self, key: str) -> None:
        """Delete if present, durably. Raises PermissionError where the storage refuses it, OSError where
        it is not known."""
        ...

    def kept(self, key: str) -> Kept | None:
        """What deleting `key` now would leave behind, None for nothing. Raises FileNotFoundError."""
        ...

    def location(self, key: str) -> str:
        """Where DuckDB finds it: an absolute path or a URL."""
        ...

    def duckdb_setup(self) -> list[str] | None:
        """The statements after which a DuckDB connection reads `location`s, none where it does so anyway;
        None where it cannot. They may hold credentials: never tell them."""
        ...

    def clean_staging(self, written_before_ms: int) -> None:
        """Remove what interrupted creations left behind before that time."""
        ...

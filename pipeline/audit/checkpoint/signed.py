"""The largest tree that this host has signed, remembered outside the store.

A log that does not hold it any more was cut, rolled back or replaced: whoever signed on would give
proof of a forked log in its own name.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipeline import durable
from pipeline.errors import StoreError


class SignedTree(msgspec.Struct, frozen=True, kw_only=True):
    """A tree by its name, size and root (hex)."""

    origin: str
    size: int
    root: str

    @staticmethod
    def path(state: Path) -> Path:
        """Where it is remembered."""
        return state / "signed.json"

    @classmethod
    def load(cls, state: Path) -> SignedTree | None:
        """None where nothing was signed yet. Raises StoreError where the file is damaged."""
        path = cls.path(state)
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError:
            raise StoreError(
                f"{path} is damaged: it is not known any more which tree was signed last"
            ) from None

    def save(self, state: Path) -> None:
        """Remember it, durably, before its signature exists."""
        durable.replace_atomically(self.path(state), msgspec.json.encode(self), 0o600)

"""A snapshot's bytes: MessagePack, marked with what it must be read with again."""

import zlib
from typing import Any

import msgspec
import polars as pl

FORMAT = 3


def encode(config_hash: str, state: dict[str, Any]) -> bytes:
    """Snapshots are made hourly and are a cache: fast compression is enough."""
    return zlib.compress(msgspec.msgpack.encode([FORMAT, pl.__version__, config_hash, state]), 1)


def decode(content: bytes, config_hash: str) -> dict[str, Any] | None:
    """The state, or None where it cannot be gone on with: another format or configuration, or damage.

    The row hashes in it are those of one polars version, so another version starts anew as well.
    """
    try:
        version, polars_version, made_with, state = msgspec.msgpack.decode(
            zlib.decompress(content), strict=False
        )
    except (zlib.error, msgspec.MsgspecError, ValueError, TypeError):
        return None
    fits = version == FORMAT and polars_version == pl.__version__ and made_with == config_hash
    return state if fits else None

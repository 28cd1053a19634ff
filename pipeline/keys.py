"""The keys: made at the first run, outside the store, mode 0600. Never logged, never in the store.

One directory holds them all, a file a key (hex). An environment variable AUDITFUSE_KEY_<NAME>
takes the place of a file, for platforms that inject secrets.
"""

import hmac
import os
import re
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline import durable
from pipeline.errors import ConfigError

KEY_BYTES = 32


class KeysConfig(BaseModel):
    """Where the keys are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Path("auditfuse-keys")
    """A directory outside the store, readable by auditfuse alone."""


class Keys:
    """Named 256-bit keys. `get("raw")` reads, or at the first use makes, the key `raw`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._cache: dict[str, bytes] = {}

    def get(self, name: str) -> bytes:
        """The key of that name, 32 bytes."""
        if name not in self._cache:
            self._cache[name] = self._from_environment(name) or self._from_file(name)
        return self._cache[name]

    def names(self, prefix: str) -> list[str]:
        """The names of the kept keys that start with `prefix`."""
        if not self._directory.is_dir():
            return []
        return sorted(p.stem for p in self._directory.glob(f"{prefix}*.key"))

    def hmac_hex(self, name: str, content: bytes) -> str:
        """HMAC-SHA256 of `content` under the key `name`, as 64 hex digits."""
        return hmac.digest(self.get(name), content, "sha256").hex()

    def _from_environment(self, name: str) -> bytes | None:
        variable = "AUDITFUSE_KEY_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
        text = os.environ.get(variable)
        return _parse(text, f"environment variable {variable}") if text else None

    def _from_file(self, name: str) -> bytes:
        path = self._directory / f"{name}.key"
        if not path.exists():
            durable.make_directory(self._directory, 0o700)
            text = secrets.token_hex(KEY_BYTES).encode() + b"\n"
            # Another process may make it at the same moment: whoever links first wins.
            durable.create_exclusive(path, text, self._directory, 0o600)
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"key file {path} can be read by others; run: chmod 600 {path}")
        return _parse(path.read_text(), f"key file {path}")


def _parse(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{where} must hold {KEY_BYTES * 2} hex digits; restore it from your backup")
    return key

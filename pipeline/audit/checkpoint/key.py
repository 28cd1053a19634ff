"""The keys that sign checkpoints: private ones outside the store, mode 0600; public ones to hand out."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline import durable
from pipeline.audit.checkpoint.config import CheckpointConfig, is_within
from pipeline.audit.checkpoint.note import NoteError, PublicKey, SigningKey, check_name
from pipeline.errors import ConfigError

DEFAULT_FILE = "checkpoint.key"
KEY_VARIABLE = "AUDITFUSE_KEY_CHECKPOINT"


def new_key(name: str) -> SigningKey:
    """A fresh key. Raises NoteError where it may not be called so."""
    return SigningKey(check_name(name), secrets.token_bytes(32))


def save_key(key: SigningKey, path: Path, store: Path | None) -> None:
    """Write the private key, 0600, and its public half beside it. Raises ConfigError where the file is there
    or lies in the store."""
    if store is not None and is_within(path, store):
        raise ConfigError(f"{path} lies within the store; a key that lies there proves nothing: name another")
    if path.exists():
        raise ConfigError(f"{path} exists and is not overwritten; name a file that does not")
    durable.make_directory(path.parent, 0o700)
    if not durable.create_exclusive(path, f"{key.encode()}\n".encode(), path.parent, 0o600):
        raise ConfigError(f"{path} exists and is not overwritten; name a file that does not")
    write_public(key, path)


def write_public(key: SigningKey, path: Path) -> Path:
    """Put the public half beside the private key at `path`; returns where."""
    public = path.with_suffix(".pub")
    content = f"{key.public}\n".encode()
    if not public.exists() or public.read_bytes() != content:
        durable.replace_atomically(public, content, 0o644)
    return public


def signing_keys(config: CheckpointConfig, directory: Path, origin: str | None) -> list[SigningKey]:
    """The keys that sign, all of the log's name. `directory` is that of the keys; `origin` is the name of a
    log that has one already. The default key is made where there is neither it nor a log.

    Raises ConfigError.
    """
    keys, path = present_keys(config, directory), directory / DEFAULT_FILE
    if not keys and origin is None:
        _make_default(path)
        keys = [_read_private(path)]
    elif path.exists() and not path.with_suffix(".pub").exists():
        # Whoever made it died before it was done.
        durable.sync_directory(directory)
        write_public(_read_private(path), path)
    if not keys:
        raise ConfigError(
            f"the store's checkpoints are signed as {origin}, and this host has no key of that name; copy "
            f"the key file to {directory / DEFAULT_FILE}, or set checkpoint.enabled = false here"
        )
    wrong = next((key.name for key in keys if key.name != (origin or keys[0].name)), None)
    if wrong is not None:
        raise ConfigError(
            f"the checkpoint key {wrong} is not of the log {origin or keys[0].name}; a new key of a log has "
            f"the same name: auditfuse keys new {origin or keys[0].name}"
        )
    return keys


def present_keys(config: CheckpointConfig, directory: Path) -> list[SigningKey]:
    """The configured keys, or the default one if it was made. Raises ConfigError."""
    text = os.environ.get(KEY_VARIABLE)
    if text:
        return [_parse_private(line, f"environment variable {KEY_VARIABLE}") for line in text.split()]
    paths = config.keys or tuple(path for path in [directory / DEFAULT_FILE] if path.exists())
    return [_read_private(path) for path in paths]


def trusted_keys(config: CheckpointConfig, directory: Path) -> list[PublicKey]:
    """Who may have signed: the public halves of this host's keys, and `trusted`. Raises ConfigError."""
    own = [key.public for key in present_keys(config, directory)]
    return list(dict.fromkeys([*own, *read_public_keys(config.trusted)]))


def read_public_keys(sources: Sequence[str]) -> list[PublicKey]:
    """Public keys from their texts, or from files with one a line. Raises ConfigError."""
    keys: list[PublicKey] = []
    for source in sources:
        keys += _parse_public(_lines(source), source)
    return keys


def _lines(source: str) -> list[str]:
    if source.count("+") >= 2 and not Path(source).is_file():
        return [source]
    try:
        return [line for line in Path(source).read_text().splitlines() if line.strip()]
    except OSError as error:
        raise ConfigError(f"public key file {source} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{source} is not a file of public keys") from None


def _parse_public(lines: Iterable[str], where: str) -> list[PublicKey]:
    try:
        keys = [PublicKey.parse(line) for line in lines]
    except NoteError as error:
        raise ConfigError(f"{where}: {error}") from None
    if not keys:
        raise ConfigError(f"{where} holds no public key")
    return keys


def _make_default(path: Path) -> None:
    durable.make_directory(path.parent, 0o700)
    key = new_key(f"auditfuse/{secrets.token_hex(4)}")
    # Another process may make it at the same moment: whoever links first wins.
    durable.create_exclusive(path, f"{key.encode()}\n".encode(), path.parent, 0o600)
    write_public(_read_private(path), path)


def _read_private(path: Path) -> SigningKey:
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"key file {path} can be read by others; run: chmod 600 {path}")
        return _parse_private(path.read_text(), f"key file {path}")
    except OSError as error:
        raise ConfigError(f"key file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"key file {path} holds no private key") from None


def _parse_private(text: str, where: str) -> SigningKey:
    try:
        return SigningKey.parse(text)
    except NoteError as error:
        raise ConfigError(f"{where}: {error}") from None

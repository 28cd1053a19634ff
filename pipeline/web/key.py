"""The key that sessions are signed with and that links of pages follow from."""

import hmac
import secrets
from pathlib import Path

import structlog

from pipeline import durable
from pipeline.killswitch.health import fault_of

KEY_FILE = "web.key"
KEY_BYTES = 32

log = structlog.get_logger()


def web_key(journal: Path) -> bytes:
    """Read, or at the first run make, the key in the journal directory (mode 0600).

    Where that fails, a key of this process alone: sessions end with it, and nothing else is lost.
    """
    path = journal / KEY_FILE
    try:
        if not path.exists():
            durable.make_directory(journal, 0o700)
            durable.create_exclusive(path, secrets.token_bytes(KEY_BYTES).hex().encode(), journal, 0o600)
        key = bytes.fromhex(path.read_text())
        if len(key) == KEY_BYTES:
            return key
        log.error("the key of the incident page is garbled; delete it", file=str(path))
    except (OSError, ValueError) as error:
        log.error("the key of the incident page cannot be read", file=str(path), fault=fault_of(error))
    return secrets.token_bytes(KEY_BYTES)


def subkey(key: bytes, purpose: str) -> bytes:
    """A key for one purpose."""
    return hmac.digest(key, purpose.encode(), "sha256")

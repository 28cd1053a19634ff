"""What makes a message of the signals topic ours: an HMAC over it and the shard that it is for.

Whoever may write the topic, but has not the key, can neither add rows nor give one shard those of another.
"""

import hmac

from pipeline.keys import Keys
from pipeline.signals_topic.shard import Shard

KEY = "signals"
"""The name of the key: the same on every host that ingests or detects."""
LABEL = b"auditfuse/signals/1"
MAC_BYTES = 32


class Forged(ValueError):
    """A message that was not made with our key, or was made for another shard."""


class Authenticity:
    """Signs and checks with the key of this host."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def signed(self, content: bytes, shard: Shard) -> bytes:
        """The message as it is sent to a shard."""
        return self._mac(content, shard) + content

    def checked(self, message: bytes, shard: Shard) -> bytes:
        """What was signed for this shard. Raises Forged."""
        mac, content = message[:MAC_BYTES], message[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(content, shard)):
            raise Forged
        return content

    def _mac(self, content: bytes, shard: Shard) -> bytes:
        return hmac.digest(self._keys.get(KEY), b"\0".join((LABEL, shard.name.encode(), content)), "sha256")

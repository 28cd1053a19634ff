"""How much a worker takes in at once; apart from the worker, so that reading it imports nothing heavy."""

from pydantic import BaseModel, ConfigDict, Field


class WorkerConfig(BaseModel):
    """How much is taken in at once. When rows are sealed is the store's configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    processes: int = Field(default=1, ge=0)
    """Processes that decode and redact; 0 does it in a thread of the main process."""
    chunk_bytes: int = 128 * 1024
    """Messages are prepared in chunks of at most about this many bytes …"""
    chunk_messages: int = 256
    """… and at most this many messages."""
    queue_bytes: int = 32 * 1024 * 1024
    """A partition with this many bytes of messages not yet sealed is paused until half are."""
    poll_messages: int = 1_000
    """How many messages one poll of a topic may bring."""
    idle_interval_ms: int = 15_000
    """First interval of the idle entries of a partition that has nothing more to read; it doubles …"""
    idle_interval_max_ms: int = 300_000
    """… up to this one."""
    drain_timeout_s: float = 20.0
    """How long a stop or a revoked partition may take to seal what it has."""
    retry_interval_s: float = 1.0
    """Pause before a seal that failed (a full disk, say) is tried again."""

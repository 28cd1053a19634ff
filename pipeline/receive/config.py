"""What the receiver listens on, whom it lets in, and how much it holds in memory."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class TokenConfig(BaseModel):
    """A bearer token, stored as its hash, and the sources it may send to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    """Who holds it."""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the token, 64 hex digits: printf %s "$TOKEN" | sha256sum."""
    sources: tuple[str, ...] = Field(min_length=1)
    """Names of sources, at most one of each format (otlp_spans, otlp_logs, events)."""


class ReceiverConfig(BaseModel):
    """The OTLP/HTTP receiver."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    """Address to listen on. Listening on others needs tokens."""
    port: int = Field(default=4318, ge=0, le=65535)
    """Port to listen on (4318 is OTLP/HTTP's own); 0 takes a free one."""
    tokens: tuple[TokenConfig, ...] = ()
    """Who may send what. Without any, only processes on this machine may send, to `default_sources`."""
    default_sources: tuple[str, ...] = ()
    """Sources of requests without a token, at most one of each format; only used where no token is set."""
    max_body_bytes: int = Field(default=8 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    """Largest body, after decompression. Larger ones are answered 413."""
    max_in_flight_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    """Bodies held in memory at a time, all requests together. Beyond it: 429."""
    max_backlog_bytes: int = Field(default=4 * 1024 * 1024 * 1024, ge=1024 * 1024)
    """Bytes of a local topic that may wait for the worker. Beyond it: 429."""
    retry_after_s: int = Field(default=2, ge=1)
    """What 429 and 503 ask the sender to wait."""
    read_timeout_s: float = Field(default=30.0, gt=0)
    """How long a request's body may take to arrive. Beyond it: 408."""
    append_timeout_s: float = Field(default=10.0, gt=0)
    """How long making a request durable may take. Beyond it: 503."""

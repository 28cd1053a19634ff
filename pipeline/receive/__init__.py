"""The OTLP/HTTP receiver: traces, logs and native events over HTTP, durable before the answer."""

from pipeline.receive.config import ReceiverConfig, TokenConfig

__all__ = ["ReceiverConfig", "TokenConfig"]

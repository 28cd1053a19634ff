"""Which topics are published from sealed rows; apart from the publisher, so that reading it imports nothing
heavy."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

TopicName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,215}$")]


class DeadLettersConfig(BaseModel):
    """The dead-letter topic: what `auditfuse dead-letters list` shows, for programs to consume."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: TopicName | None = None
    """The topic to publish sealed dead letters to, such as "auditfuse.dead-letters". Without it none is."""
    kind: Literal["kafka", "local"] = "kafka"
    """Where the topic is: the Kafka cluster of `kafka`, or the local directory of `topics`."""


class RedactedConfig(BaseModel):
    """The redacted stream: every sealed event, for tools that must not read the raw topic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: TopicName | None = None
    """The topic to publish sealed events to, such as "auditfuse.redacted". Without it none is."""
    kind: Literal["kafka", "local"] = "kafka"
    """Where the topic is: the Kafka cluster of `kafka`, or the local directory of `topics`."""
    format: Literal["native", "otlp"] = "native"
    """native: one event a message, as auditfuse reads it. otlp: ExportTraceServiceRequest (protobuf), many
    spans a message, for collectors and trace viewers."""
    max_message_bytes: int = Field(default=1_000_000, ge=10_000, le=64 * 1024 * 1024)
    """An event that would be larger goes without input, output and attributes. Kafka's brokers take 1 MiB;
    raise the topic's max.message.bytes before this."""

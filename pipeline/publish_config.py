"""Where dead letters are published; apart from the publisher, so that reading it imports nothing heavy."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints


class DeadLettersConfig(BaseModel):
    """The dead-letter topic: what `auditfuse dead-letters list` shows, for programs to consume."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,215}$")] | None = None
    """The topic to publish sealed dead letters to, such as "auditfuse.dead-letters". Without it none is."""
    kind: Literal["kafka", "local"] = "kafka"
    """Where the topic is: the Kafka cluster of `kafka`, or the local directory of `topics`."""

"""Configuration of the signals topic."""

from pydantic import BaseModel, ConfigDict, Field


class SignalsConfig(BaseModel):
    """How detection is shared out between processes. Without a topic one process detects for all agents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,215}$")
    """A Kafka topic that tells detection what is sealed, such as "auditfuse.signals"."""
    partitions: int = Field(default=9, ge=2, le=1024)
    """Its partitions, each a shard of detection: the last one for detectors that look across agents, the
    others for the agents. Another number needs one start with `auditfuse run --reshard`."""
    sweep_s: float = Field(default=2.0, gt=0)
    """How long a seal that the topic lost may go unseen: so often the store itself is looked at."""

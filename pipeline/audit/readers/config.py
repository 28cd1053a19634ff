"""Where the readers' copy lies and who may read it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class ReadersConfig(BaseModel):
    """A copy of the trail without payloads, for analysts who must not see them. Off unless `path` is set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path | None = None
    """The directory of the copy, outside the store; `trail.duckdb` in it is what DuckDB opens."""
    group: str | None = None
    """The group that may read it, by name; auditfuse must run as a member of it. None: the group that
    auditfuse runs as."""
    interval_s: float = Field(default=10.0, ge=1)
    """How often the copy is brought up to date while `auditfuse run` goes on."""

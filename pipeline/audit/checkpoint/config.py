"""Configuration of checkpoints: how often, with which keys, and where copies go."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from pipeline.errors import ConfigError

_NAME = r"^[a-z0-9][a-z0-9_.-]{0,63}$"


class _Anchor(BaseModel):
    """A place outside the store that keeps checkpoints."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=_NAME)
    """What logs and metrics call it."""
    timeout_s: float = Field(default=15, gt=0)
    """How long one attempt may take. Attempts go on until the newest checkpoint is there."""


class DirectoryAnchor(_Anchor):
    """Notes as files of another directory: another machine's, or one that only grows."""

    kind: Literal["directory"]
    """A directory of files."""
    path: Path
    """The directory, outside the store."""


class KafkaAnchor(_Anchor):
    """Notes as messages: the value is the note, the key its origin."""

    kind: Literal["kafka"]
    """A Kafka topic."""
    topic: str
    """The topic, in the cluster of `[kafka]`. Keep it for ever: retention.ms=-1."""


class _UrlAnchor(_Anchor):
    url: SecretStr | None = None
    """The URL. Prefer `url_env` where it holds a secret."""
    url_env: str | None = None
    """The environment variable that holds the URL."""

    @model_validator(mode="after")
    def _one_url(self) -> Self:
        if (self.url is None) == (self.url_env is None):
            raise ValueError(f"anchor {self.name} needs exactly one of url and url_env")
        return self

    def resolved_url(self) -> str:
        """The URL itself, which never goes into a log or an error. Raises ConfigError where it is unset."""
        return self.url.get_secret_value() if self.url else _from_environment(self.name, self.url_env or "")


class HttpAnchor(_UrlAnchor):
    """Notes posted as text/plain."""

    kind: Literal["http"]
    """An HTTP address."""
    headers_env: dict[str, str] = {}
    """Header → the environment variable that holds its value, such as { Authorization = "ANCHOR_TOKEN" }."""

    def resolved_headers(self) -> dict[str, str]:
        """The headers with their values. Raises ConfigError where one is unset."""
        return {header: _from_environment(self.name, name) for header, name in self.headers_env.items()}


class AppriseAnchor(_UrlAnchor):
    """Notes as messages to people: a chat, a mailbox."""

    kind: Literal["apprise"]
    """Any service of apprise."""


AnchorConfig = Annotated[
    DirectoryAnchor | KafkaAnchor | HttpAnchor | AppriseAnchor, Field(discriminator="kind")
]


class CheckpointConfig(BaseModel):
    """Checkpoints: signed statements of what the store holds, sent to places outside of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    """Whether this process makes checkpoints. Of several hosts that share a store, one does at a time."""
    interval_s: float = Field(default=60, gt=0)
    """How often; where nothing was logged since, there is none."""
    keys: tuple[Path, ...] = ()
    """Private key files; each signs. By default `checkpoint.key` in the directory of the keys, made at the
    first run. AUDITFUSE_KEY_CHECKPOINT takes the place of the files."""
    trusted: tuple[str, ...] = ()
    """Public keys, or files of them, that signed earlier: `auditfuse verify` takes their checkpoints too."""
    state: Path = Path("auditfuse-checkpoint")
    """A directory outside the store: who this host is to the log, and what each anchor was sent."""
    anchors: tuple[AnchorConfig, ...] = ()
    """Places outside the store that keep checkpoints, any number."""

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [anchor.name for anchor in self.anchors]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two anchors are named {twice[0]}")
        return self

    def require_outside(self, store: Path) -> None:
        """Raises ValueError where keys, state or an anchor lie within the store: what could change the store
        could change them as well."""
        inside = {
            "state": [self.state],
            "keys": list(self.keys),
            "anchors": [anchor.path for anchor in self.anchors if isinstance(anchor, DirectoryAnchor)],
        }
        for option, paths in inside.items():
            for path in paths:
                if is_within(path, store):
                    raise ValueError(
                        f"checkpoint.{option}: {path} lies within the store; name a place outside"
                    )


def is_within(path: Path, directory: Path) -> bool:
    """Whether `path` is `directory` or below it, links followed."""
    resolved = directory.resolve()
    return resolved == path.resolve() or resolved in path.resolve().parents


def _from_environment(anchor: str, variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise ConfigError(f"checkpoint anchor {anchor}: environment variable {variable} is not set")
    return value

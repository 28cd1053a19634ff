"""Configuration of where pages go: targets, routes, escalation, and the monitor that hears the heartbeat."""

import os
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from pipeline.errors import ConfigError
from schemas.finding import Severity

CONSOLE = "console"
CONSOLE_URL = "console://"
TargetKind = Literal["page", "chat", "ticket"]
_KINDS: tuple[TargetKind, ...] = ("ticket", "chat", "page")
_ALERT_SERVICES = ("pagerduty://", "opsgenie://")


class Target(BaseModel):
    """One place that pages go to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    """What routes, logs and `auditfuse page test` call it."""
    url: SecretStr | None = None
    """An apprise URL (json://, slack://, pagerduty://, …) or console://. Prefer `url_env`."""
    url_env: str | None = None
    """The environment variable that holds the URL."""
    tags: tuple[str, ...] = ("page",)
    """What routes choose it by."""
    kind: TargetKind | None = None
    """page: reminded until somebody answers. chat and ticket: told once. By default what its tags say, else
    page."""
    updates: tuple[Literal["acknowledged", "resolved"], ...] | None = None
    """What it is told of an incident that it was paged about. By default both where it is PagerDuty or
    Opsgenie, whose alert is changed and closed so; elsewhere that it is resolved."""
    api_url: str | None = None
    """PagerDuty and Opsgenie: the address of the API where it is not the service's own, such as a proxy's."""
    per_minute: int = Field(default=10, ge=1)
    """Messages a minute at most; what is left over is told in one summary."""
    plot: bool = True
    """Whether a page brings its plot, where the service takes one (Slack's bots, ntfy, e-mail, JSON) and
    Matplotlib is installed."""
    person: str | None = Field(default=None, min_length=1, max_length=200)
    """The one person who reads this target: the page's link lets them answer on the incident page without a
    token, in this name."""

    @model_validator(mode="after")
    def _one_url(self) -> Self:
        if (self.url is None) == (self.url_env is None):
            raise ValueError(f"target {self.name} needs exactly one of url and url_env")
        return self

    @property
    def effective_kind(self) -> TargetKind:
        """The kind, given or by its tags."""
        by_tags: list[TargetKind] = [kind for kind in _KINDS if kind in self.tags]
        return self.kind or (by_tags[0] if by_tags else "page")

    def wants(self, update: str) -> bool:
        """Whether it is told that an incident was `acknowledged` or `resolved`. Raises ConfigError."""
        if self.updates is not None:
            return update in self.updates
        return update == "resolved" or self.resolved_url().startswith(_ALERT_SERVICES)

    def resolved_url(self) -> str:
        """The URL itself, which never goes into a log or an error. Raises ConfigError where it is unset."""
        if self.url is not None:
            return self.url.get_secret_value()
        url = os.environ.get(self.url_env or "")
        if not url:
            raise ConfigError(
                f"page target {self.name}: environment variable {self.url_env} is not set; "
                "set it to the target's apprise URL"
            )
        return url


class Route(BaseModel):
    """Which incidents go to which targets. Every route that matches adds its targets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    severities: tuple[Severity, ...] = ("warning", "critical")
    """The severities it takes."""
    environments: tuple[str, ...] = ()
    """The environments it takes; none named means all."""
    tags: tuple[str, ...] = ("page",)
    """Targets with any of these tags are told."""


class EscalationLevel(BaseModel):
    """Who is paged besides when nobody answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after_minutes: float = Field(gt=0)
    """How long an incident has gone without an answer, whether or not its page was delivered."""
    tags: tuple[str, ...] = Field(min_length=1)
    """Targets with any of these tags are told."""
    severities: tuple[Severity, ...] = ("critical",)
    """The severities it is for."""
    environments: tuple[str, ...] = ()
    """The environments it is for; none named means all."""


class HeartbeatConfig(BaseModel):
    """Telling a monitor elsewhere that this is still watching: it raises the alarm when we fall silent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr | None = None
    """What is requested. Prefer `url_env`: such addresses are secrets."""
    url_env: str | None = None
    """The environment variable that holds the address."""
    method: Literal["GET", "POST"] = "GET"
    """How it is requested."""
    interval_s: float = Field(default=60, ge=1)
    """How often, while detection and delivery work. The monitor's patience should be three times that."""
    timeout_s: float = Field(default=10, gt=0)
    """How long one request may take."""

    @model_validator(mode="after")
    def _one_url(self) -> Self:
        if self.url is not None and self.url_env is not None:
            raise ValueError("the heartbeat needs one of url and url_env, not both")
        return self

    def resolved_url(self) -> str | None:
        """The address, which never goes into a log; None where no heartbeat is sent. Raises ConfigError."""
        if self.url_env is None:
            return self.url.get_secret_value() if self.url is not None else None
        url = os.environ.get(self.url_env)
        if not url:
            raise ConfigError(
                f"respond.heartbeat: environment variable {self.url_env} is not set; "
                "set it to the address that the monitor gave you"
            )
        return url

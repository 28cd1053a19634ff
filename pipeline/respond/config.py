"""Configuration of the state database, of incidents and of paging."""

import os
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from pipeline.errors import ConfigError
from schemas.finding import Severity

CONSOLE = "console"
CONSOLE_URL = "console://"


class StateConfig(BaseModel):
    """Where consumed ends, incidents and undelivered pages are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr = SecretStr("sqlite:///auditfuse-data/state.db")
    """An SQLAlchemy URL: sqlite:///PATH, or postgresql+psycopg://… where more than one host responds."""
    busy_timeout_ms: int = Field(default=5_000, ge=0)
    """How long one statement waits for another process's lock on SQLite."""
    retry_for_ms: int = Field(default=30_000, ge=0)
    """How long a transaction is tried again while the database is locked or away."""


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
    per_minute: int = Field(default=10, ge=1)
    """Messages a minute at most; what is left over is told in one summary."""

    @model_validator(mode="after")
    def _one_url(self) -> Self:
        if (self.url is None) == (self.url_env is None):
            raise ValueError(f"target {self.name} needs exactly one of url and url_env")
        return self

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


class RespondConfig(BaseModel):
    """How findings become incidents and pages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: tuple[Target, ...] = ()
    """Where pages go. With none, pages are printed on the terminal."""
    routes: tuple[Route, ...] = (Route(),)
    """By severity and environment. An incident of severity critical that no route takes goes everywhere."""
    console: bool = False
    """Also print every page on the terminal."""
    last_resort: str | None = None
    """The target that is told when pages cannot be delivered elsewhere."""
    dead_man_after_s: float = Field(default=300, gt=0)
    """How long a page may stay undelivered before the last resort is told."""
    reopen_within_s: float = Field(default=3_600, ge=0)
    """A finding this soon after its incident was resolved reopens it."""
    quiet_resolves_after_s: float = Field(default=1_800, gt=0)
    """An incident without findings for this long is resolved by recovery."""
    append_wait_s: float = Field(default=5, ge=0)
    """How long a page waits for its finding to be sealed; then it is sent all the same."""
    backoff_first_s: float = Field(default=1, gt=0)
    """The first pause after a failed delivery; it doubles with each failure."""
    backoff_max_s: float = Field(default=300, gt=0)
    """The longest pause between two attempts. Attempts go on until the page is delivered."""
    connect_timeout_s: float = Field(default=4, gt=0)
    """How long a target may take to accept a connection."""
    send_timeout_s: float = Field(default=15, gt=0)
    """How long one attempt may take in all."""

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [target.name for target in self.targets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two targets are named {twice[0]}")
        if CONSOLE in names:
            raise ValueError("the target name console is taken; set console = true instead")
        if self.last_resort is not None and self.last_resort not in [t.name for t in self.all_targets()]:
            raise ValueError(f"last_resort names the target {self.last_resort}, which is not configured")
        return self

    def all_targets(self) -> tuple[Target, ...]:
        """The configured targets, and the terminal where it is asked for or there is nothing else."""
        if self.targets and not self.console:
            return self.targets
        tags = tuple(sorted({tag for route in self.routes for tag in route.tags} | {"page"}))
        return (*self.targets, Target(name=CONSOLE, url=SecretStr(CONSOLE_URL), tags=tags, per_minute=600))

    def targets_for(self, severity: Severity, environment: str) -> list[str]:
        """Names of the targets to tell about an incident, in configured order."""
        tags = {
            tag
            for route in self.routes
            if severity in route.severities and (not route.environments or environment in route.environments)
            for tag in route.tags
        }
        everything = self.all_targets()
        names = [target.name for target in everything if tags.intersection(target.tags)]
        if not names and severity == "critical":
            return [target.name for target in everything]
        return names

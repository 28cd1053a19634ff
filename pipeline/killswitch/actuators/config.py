"""Configuration of actuators: whom they act on, how they are told, and when they count as failed."""

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.errors import ConfigError
from pipeline.killswitch.policy_config import TripMode
from pipeline.killswitch.state import DRILL_ENVIRONMENT
from schemas.command import Mode, Selector

MIN_SECRET_BYTES = 16


class ActuatorConfig(BaseModel):
    """One actuator. It is told of every trip that it acts on, and again of every change and of its end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    """What status and logs call it, and its file in the journal."""
    kind: Literal["webhook", "command"]
    """webhook: a signed POST; command: a program of this machine."""
    url: str | None = None
    """webhook: the https:// address to post to (http:// on loopback only)."""
    secret_env: str | None = None
    """webhook: the environment variable with the secret that requests are signed with."""
    secret_file: Path | None = None
    """webhook: the file with that secret, instead."""
    argv: tuple[str, ...] = ()
    """command: the program and its arguments. No shell reads them; the order is JSON on standard input."""
    pass_env: tuple[str, ...] = ()
    """command: environment variables that it gets beside PATH, HOME, LANG and TZ."""
    agents: tuple[str, ...] = ()
    """Agents (globs) whose trips it acts on; none named: all. A trip of every agent always counts."""
    environments: tuple[str, ...] = ()
    """The same for environments."""
    modes: tuple[TripMode, ...] = ("off",)
    """The modes that it acts on. A trip at any other mode is for it as if lifted."""
    drills: bool = False
    """Whether it is told of drills too."""
    timeout_s: float = Field(default=10, gt=0, le=300)
    """How long one attempt may take."""
    backoff_first_s: float = Field(default=0.5, gt=0)
    """The first pause after a failed attempt; it doubles with each."""
    backoff_max_s: float = Field(default=60, gt=0)
    """The longest pause. Attempts go on as long as the order stands."""
    failed_after_attempts: int = Field(default=5, ge=1)
    """After so many failed attempts the trip counts as not enforced, until one succeeds …"""
    failed_after_s: float = Field(default=60, gt=0)
    """… and so it does after so many seconds without an acknowledgement."""
    poll_s: float = Field(default=2, ge=0.05)
    """webhook: how often the status address of a 202 answer is asked."""

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        if self.kind == "webhook":
            if self.url is None or self.argv or self.pass_env:
                raise ValueError(f"actuator {self.name}: a webhook needs url, and neither argv nor pass_env")
            if (self.secret_env is None) == (self.secret_file is None):
                raise ValueError(f"actuator {self.name} needs exactly one of secret_env and secret_file")
            _check_url(self.name, self.url)
        elif not self.argv or self.url or self.secret_env or self.secret_file:
            raise ValueError(f"actuator {self.name}: a command needs argv, and neither url nor secret")
        return self

    def acts_on(self, selector: Selector) -> bool:
        """Whether a trip of this selector is one that it acts on."""
        if selector.environment == DRILL_ENVIRONMENT:
            return self.drills
        return _fits(self.agents, selector.agent) and _fits(self.environments, selector.environment)

    def wanted(self, mode: Mode) -> Mode:
        """What a trip at `mode` is for this actuator: that mode, or `on`."""
        return mode if mode in self.modes else "on"

    def secret(self) -> bytes:
        """The webhook's secret. Raises ConfigError where it is absent or short."""
        text: str | None = None
        where = f"the environment variable {self.secret_env}"
        if self.secret_file is not None:
            where = f"the file {self.secret_file}"
            try:
                text = self.secret_file.read_text().strip()
            except (OSError, UnicodeDecodeError):
                text = None
        elif self.secret_env is not None:
            text = os.environ.get(self.secret_env)
        if text is None or len(text.encode()) < MIN_SECRET_BYTES:
            raise ConfigError(
                f"actuator {self.name}: {where} must hold a secret of at least {MIN_SECRET_BYTES} bytes "
                "(openssl rand -hex 32 makes one)"
            )
        return text.encode()


def _fits(globs: tuple[str, ...], name: str | None) -> bool:
    if not globs or name is None:
        return True
    return any(fnmatchcase(name.casefold(), glob.casefold()) for glob in globs)


def _check_url(name: str, url: str) -> None:
    parts = urlsplit(url)
    loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if (
        not parts.hostname
        or parts.username
        or parts.scheme not in (("https", "http") if loopback else ("https",))
    ):
        raise ValueError(
            f"actuator {name}: url must be https://HOST/… (http only on loopback), without a user"
        )

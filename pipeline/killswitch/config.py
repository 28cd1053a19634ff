"""Configuration of the kill switch and of the control HTTP server."""

import ipaddress
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.killswitch.actuators.config import ActuatorConfig
from pipeline.killswitch.approvals_config import ApprovalsConfig
from pipeline.killswitch.policy_config import AutoTripConfig

MAX_LEASE_S = 60.0

Role = Literal["viewer", "responder", "approver", "agent", "peer"]


class Token(BaseModel):
    """A bearer token and who it stands for. The token itself is never in the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    """The person's or agent's name: recorded with everything the token does."""
    role: Role
    """viewer: status and metrics; responder: also trip, step down, ask for a reset; approver: also
    approve a reset; agent: flags and leases of the agent whose id is the token's name, and no other's;
    peer: another control server."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """SHA-256 of the token, 64 hex digits (`printf %s "$TOKEN" | sha256sum`)."""


class PeerConfig(BaseModel):
    """Another control server, which is told every trip at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(pattern=r"^https?://[^/?#@\s]+/?$")
    """Its address, such as `https://control-b.example:8420`."""
    token_env: str = Field(min_length=1)
    """The environment variable with a token that it made for this host, of the role peer."""


class KillSwitchConfig(BaseModel):
    """The kill switch: where trips are journaled, where it is served, and who may use it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    journal: Path = Path("auditfuse-journal")
    """A directory on a volume other than the store: a trip must survive the store's loss."""
    host: str = "127.0.0.1"
    """Address to serve flags, status, health and metrics on."""
    port: int = Field(default=8420, ge=0, le=65535)
    """Port to serve on; 0 takes a free one."""
    tokens: tuple[Token, ...] = ()
    """Bearer tokens, besides those that `auditfuse token create` stores in the journal directory. With none,
    only this machine may trip, by the token file that the first run makes there. With any of a person,
    that file no longer approves resets: its names are not proven."""
    tls_cert: Path | None = None
    """The certificate chain (PEM) to serve TLS with; needs `tls_key`."""
    tls_key: Path | None = None
    """The certificate's private key (PEM), readable by auditfuse alone."""
    tls_client_ca: Path | None = None
    """Whoever connects must show a certificate of these authorities (PEM). The command line and peers show
    `tls_cert`."""
    ca: Path | None = None
    """The authorities (PEM) by which the command line and peers know a server; by default the system's."""
    server_name: str | None = None
    """The name in the server's certificate, where it is not the address that the command line connects to."""
    peers: tuple[PeerConfig, ...] = ()
    """The other control servers. While one is not heard, no trip is taken for enforced."""
    topic: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,215}$")
    """A Kafka topic with cleanup.policy=compact for the trips in force, such as "auditfuse.trips". Without it
    none is written."""
    ofrep_open_on_loopback: bool = True
    """Whether agents on this machine may ask for flags without a token. Others always need one."""
    targeting_key_is_agent: bool = True
    """Whether a context's targetingKey is the agent's id. false: only the attribute `agent` counts, and a
    context without it is covered by every trip."""
    throttle_per_minute: int = Field(default=6, ge=1)
    """Actions a minute that an agent in mode `throttle` is asked to keep to (in the flags' metadata)."""
    lease_s: float = Field(default=15.0, ge=2.0, le=MAX_LEASE_S)
    """Seconds that a client may go on without hearing from a control server; then it fails closed."""
    renew_s: float = Field(default=5.0, ge=0.5, le=20.0)
    """Seconds after which a client renews its lease; at most a third of `lease_s`."""
    max_leases: int = Field(default=10_000, ge=4)
    """Clients that may hold a lease at once; one agent gets at most a quarter of them."""
    auto_trip: AutoTripConfig = AutoTripConfig()
    """Automatic trips and their limits."""
    approvals: ApprovalsConfig = ApprovalsConfig()
    """The approvals that open mode `approval`."""
    actuators: tuple[ActuatorConfig, ...] = ()
    """What else is told of trips: webhooks and commands."""
    drill_days: float = Field(default=30, gt=0)
    """Days after which the last good drill is too old: status and doctor then complain."""

    @property
    def speaks_tls(self) -> bool:
        """Whether the server of this configuration does."""
        return self.tls_cert is not None or self.ca is not None

    def warnings(self, *, has_tokens: bool) -> list[str]:
        """What a person should know of where it listens, in plain words."""
        if _is_loopback(self.host):
            return []
        tokens = (
            "it listens beyond this machine, and there are no tokens: from elsewhere only health is answered"
        )
        tls = "it listens beyond this machine without TLS: tokens cross the network in the clear"
        return [*([] if has_tokens else [tokens]), *([] if self.tls_cert else [tls])]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [actuator.name for actuator in self.actuators]
        if len(set(names)) < len(names):
            raise ValueError("two of killswitch.actuators have one name; each needs its own")
        if self.renew_s * 3 > self.lease_s:
            raise ValueError(
                "killswitch.renew_s must be at most a third of lease_s: a lost answer is no trip"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("killswitch.tls_cert and tls_key come together")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("killswitch.tls_client_ca needs tls_cert and tls_key")
        return self


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

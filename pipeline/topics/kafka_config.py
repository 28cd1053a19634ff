"""How to reach Kafka: addresses, TLS, SASL, sizes and times."""

import ssl
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from pipeline.errors import ConfigError, TopicError

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]


class KafkaConfig(BaseModel):
    """A Kafka cluster (3.1 or newer) and how this process takes part in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str = "127.0.0.1:9092"
    """host:port of one or more brokers, separated by commas."""
    client_id: str = "auditfuse"
    """The name of this client in the broker's logs and quotas."""
    group_id: str = "auditfuse"
    """Members with the same id share the partitions; each topic has a group `<group_id>.<topic>`."""
    group_instance_id: str | None = None
    """Static membership: a restart within the session time-out moves no partition."""
    security_protocol: SecurityProtocol = "PLAINTEXT"
    """PLAINTEXT or TLS, with or without SASL."""
    ssl_cafile: Path | None = None
    """PEM of the authority that signed the brokers' certificates; the system's authorities without it."""
    ssl_certfile: Path | None = None
    """PEM of this client's certificate, for mutual TLS."""
    ssl_keyfile: Path | None = None
    """PEM of this client's private key."""
    sasl_mechanism: SaslMechanism = "SCRAM-SHA-512"
    """How the password is proven; PLAIN sends it, so use it over TLS alone."""
    sasl_username: str | None = None
    """The user that SASL names."""
    sasl_password: SecretStr | None = None
    """Its password: set AUDITFUSE_KAFKA__SASL_PASSWORD, not this file."""
    sasl_password_file: Path | None = None
    """A file that holds the password, instead of the variable."""
    sasl_token_file: Path | None = None
    """OAUTHBEARER: a file with the token, read for each connection, which the platform renews."""
    sasl_token_url: str | None = None
    """OAUTHBEARER: the identity provider's token endpoint, asked with the client's credentials."""
    sasl_client_id: str | None = None
    """Who asks there."""
    sasl_client_secret: SecretStr | None = None
    """Its secret: set AUDITFUSE_KAFKA__SASL_CLIENT_SECRET, not this file."""
    sasl_scope: str | None = None
    """The scope that is asked for, where the provider needs one."""
    session_timeout_ms: int = Field(default=30_000, ge=1_000)
    """A member unheard for so long loses its partitions."""
    heartbeat_interval_ms: int = Field(default=3_000, ge=100)
    """At most a third of the session time-out."""
    rebalance_timeout_ms: int = Field(default=60_000, ge=1_000)
    """How long a member may take to seal what it has before its partitions are given away."""
    request_timeout_ms: int = Field(default=40_000, ge=1_000)
    """How long one request may take."""
    max_poll_records: int = Field(default=1_000, ge=1)
    """Records decoded at once on the event loop; more of them hold it up."""
    fetch_max_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """Bytes of one fetch, which is what bounds memory."""
    max_partition_fetch_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    """Bytes of one partition in a fetch; a larger message is still delivered."""
    max_request_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """The largest message that is produced; the topic's max.message.bytes must allow it."""
    stall_timeout_s: float = Field(default=60.0, gt=0)
    """A partition with messages to read and no progress for so long makes the consumer anew."""
    identity_check_s: float = Field(default=30.0, gt=0)
    """How often it is looked up whether a topic that brings nothing is still the one it was. What it
    brings is looked up before it is sealed."""

    @field_validator("bootstrap_servers")
    @classmethod
    def _has_ports(cls, value: str) -> str:
        for server in value.split(","):
            _, separator, port = server.strip().rpartition(":")
            if not separator or not port.isdigit():
                raise ValueError(f"{server.strip()!r} is not host:port, such as kafka.example:9092")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        self._require_credentials()
        has_tls_files = self.ssl_cafile or self.ssl_certfile or self.ssl_keyfile
        if has_tls_files and not self._uses_tls:
            raise ValueError(f"ssl_* is set, but security_protocol {self.security_protocol} does not use TLS")
        if self.ssl_certfile and not self.ssl_keyfile:
            raise ValueError("ssl_keyfile is missing: the client's certificate ssl_certfile needs its key")
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ValueError("ssl_certfile is missing: the key ssl_keyfile needs its certificate")
        if self.heartbeat_interval_ms * 3 > self.session_timeout_ms:
            raise ValueError("heartbeat_interval_ms must be at most a third of session_timeout_ms")
        return self

    def _require_credentials(self) -> None:
        """Those that the mechanism takes, and no others."""
        password = (self.sasl_username, self.sasl_password, self.sasl_password_file)
        token = (self.sasl_token_file, self.sasl_token_url, self.sasl_client_id, self.sasl_client_secret)
        if not self.security_protocol.startswith("SASL"):
            if any((*password, *token)):
                raise ValueError(
                    f"sasl_* is set, but security_protocol {self.security_protocol} does not use it"
                )
        elif self.sasl_mechanism == "OAUTHBEARER":
            if any(password):
                raise ValueError("sasl_username and sasl_password* are not for OAUTHBEARER: give a token")
            if (self.sasl_token_file is None) == (self.sasl_token_url is None):
                raise ValueError("give one of sasl_token_file, sasl_token_url for OAUTHBEARER")
            if self.sasl_token_url and not (self.sasl_client_id and self.sasl_client_secret):
                raise ValueError("sasl_token_url needs sasl_client_id and sasl_client_secret")
        elif any(token):
            raise ValueError(f"sasl_token_* and sasl_client_* are not for {self.sasl_mechanism}")
        elif not self.sasl_username:
            raise ValueError(f"sasl_username is missing: {self.security_protocol} needs it")
        elif (self.sasl_password is None) == (self.sasl_password_file is None):
            raise ValueError("give one of sasl_password (AUDITFUSE_KAFKA__SASL_PASSWORD), sasl_password_file")

    @property
    def _uses_tls(self) -> bool:
        return self.security_protocol.endswith("SSL")

    def connection_options(self) -> dict[str, Any]:
        """What every aiokafka client takes; reads the files. Raises ConfigError where one is not usable."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "client_id": self.client_id,
            "request_timeout_ms": self.request_timeout_ms,
            "security_protocol": self.security_protocol,
        }
        if self._uses_tls:
            options["ssl_context"] = self._ssl_context()
        if self.security_protocol.startswith("SASL"):
            options |= {"sasl_mechanism": self.sasl_mechanism} | self._proof()
        return options

    def _ssl_context(self) -> ssl.SSLContext:
        files = {"cafile": self.ssl_cafile, "certfile": self.ssl_certfile, "keyfile": self.ssl_keyfile}
        for name, path in files.items():
            if path is not None and not path.is_file():
                raise ConfigError(f"kafka.ssl_{name}: {path} is not a file")
        from aiokafka.helpers import create_ssl_context  # the command line reads this file without Kafka

        try:
            return create_ssl_context(**{name: str(path) for name, path in files.items() if path is not None})
        except (ssl.SSLError, OSError) as error:
            named = ", ".join(str(path) for path in files.values() if path is not None)
            raise ConfigError(f"kafka.ssl_*: {named or 'system authorities'}: {error.strerror}") from None

    def _proof(self) -> dict[str, Any]:
        """What proves who this client is."""
        if self.sasl_mechanism != "OAUTHBEARER":
            return {"sasl_plain_username": self.sasl_username, "sasl_plain_password": self._password()}
        from pipeline.topics.kafka_token import Credentials, FetchedToken, FileToken

        if self.sasl_token_file is not None:
            return {"sasl_oauth_token_provider": FileToken(self.sasl_token_file)}
        secret = self.sasl_client_secret.get_secret_value() if self.sasl_client_secret else ""
        asked = Credentials(self.sasl_token_url or "", self.sasl_client_id or "", secret, self.sasl_scope)
        return {"sasl_oauth_token_provider": FetchedToken(asked)}

    def _password(self) -> str:
        if self.sasl_password is not None:
            return self.sasl_password.get_secret_value()
        path = self.sasl_password_file
        try:
            return path.read_text().strip() if path else ""
        except OSError as error:
            raise ConfigError(f"kafka.sasl_password_file: {path}: {error.strerror}") from None


def unreachable(config: KafkaConfig, error: Exception) -> TopicError:
    """What to say where the cluster does not answer."""
    return TopicError(
        f"Kafka at {config.bootstrap_servers} does not answer, or does not let this client in "
        f"({type(error).__name__}); check kafka.bootstrap_servers, kafka.security_protocol, kafka.sasl_* and "
        "the network"
    )

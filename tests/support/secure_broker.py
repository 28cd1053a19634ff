"""Apache Kafka as a company runs it: TLS alone, SASL, and ACLs that allow nothing unless they are given."""

import base64
import contextlib
import datetime
import ipaddress
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaClient
from aiokafka.protocol.admin import CreateAclsRequest_v1
from aiokafka.protocol.api import Request
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.broker import broker_script

from pipeline.topics.kafka_config import KafkaConfig

ADMIN, AUDITFUSE, STRANGER = "admin", "auditfuse", "stranger"
PASSWORDS = {ADMIN: "admin-of-tests", AUDITFUSE: "recorder-of-tests", STRANGER: "stranger-of-tests"}
TOPIC, GROUP, CLUSTER = 2, 3, 4
"""Kinds of resource, in Kafka's protocol."""
READ, WRITE, CREATE, DESCRIBE, DESCRIBE_CONFIGS, IDEMPOTENT_WRITE = 3, 4, 5, 8, 10, 12
LITERAL, PREFIXED, ALLOW = 3, 4, 3
Acl = tuple[int, str, int, int]
"""Kind of resource, its name, literal or prefixed, operation."""


@dataclass(frozen=True)
class SecureBroker:
    """A running broker; `config` says how a user reaches it."""

    bootstrap: str
    authority: Path

    def config(self, user: str = AUDITFUSE, mechanism: str = "SCRAM-SHA-512", **options: Any) -> KafkaConfig:
        """As `user`, who proves it by `mechanism`."""
        proof: dict[str, Any] = {"sasl_username": user, "sasl_password": PASSWORDS.get(user, "wrong")}
        if mechanism == "OAUTHBEARER":
            proof = {}
        return KafkaConfig.model_validate(
            {
                "bootstrap_servers": self.bootstrap,
                "security_protocol": "SASL_SSL",
                "ssl_cafile": self.authority,
                "sasl_mechanism": mechanism,
                **proof,
                **options,
            }
        )

    async def allow(self, user: str, acls: list[Acl]) -> None:
        """Give a user these rights."""
        client = AIOKafkaClient(**self.config(ADMIN).connection_options())
        await client.bootstrap()
        try:
            asked = [
                (kind, name, pattern, f"User:{user}", "*", operation, ALLOW)
                for kind, name, pattern, operation in acls
            ]
            answer: Any = await client.send(client.get_random_node(), _CreateAcls(asked))
            assert all(code == 0 for code, _ in answer.creation_responses), answer
        finally:
            await client.close()


class _CreateAcls(Request[CreateAclsRequest_v1]):
    API_KEY = 30

    def __init__(self, creations: list[tuple[Any, ...]]) -> None:
        self._creations = creations

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        return request_struct_class(self._creations)


def unsecured_token(user: str, life_s: float = 600) -> str:
    """A token that the broker takes since it is told to take unsigned ones: tests alone may do that."""
    now = time.time()
    claims = {"sub": user, "iat": now, "exp": now + life_s}
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


@contextlib.contextmanager
def running(directory: Path) -> Iterator[SecureBroker]:
    """Start it on the JVM; it ends with the block."""
    script = broker_script()
    directory.mkdir(parents=True, exist_ok=True)
    authority, keystore = _certificates(directory)
    port = script.free_port()
    users = [
        part
        for user, password in PASSWORDS.items()
        for part in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]")
    ]
    users += ["--add-scram", f"SCRAM-SHA-256=[name={AUDITFUSE},password={PASSWORDS[AUDITFUSE]}]"]
    broker = script.start_on_jvm(
        port, directory, _settings(port, script.free_port(), authority, keystore), users
    )
    try:
        yield SecureBroker(broker.bootstrap, authority)
    finally:
        broker.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _settings(port: int, controller: int, authority: Path, keystore: Path) -> dict[str, str]:
    listeners = f"SASL_SSL://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"
    plain = " ".join(f'user_{user}="{password}"' for user, password in PASSWORDS.items())
    login = "org.apache.kafka.common.security"
    jaas = "listener.name.sasl_ssl.{}.sasl.jaas.config"
    return {
        "listeners": listeners,
        "advertised.listeners": listeners,
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
        "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "SASL_SSL",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        jaas.format("plain"): f"{login}.plain.PlainLoginModule required "
        f'username="{ADMIN}" password="{PASSWORDS[ADMIN]}" {plain};',
        jaas.format("scram-sha-256"): f"{login}.scram.ScramLoginModule required;",
        jaas.format("scram-sha-512"): f"{login}.scram.ScramLoginModule required;",
        jaas.format("oauthbearer"): f"{login}.oauthbearer.OAuthBearerLoginModule required "
        f'unsecuredLoginStringClaim_sub="{ADMIN}";',
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # The controller's own listener is not encrypted here, and has no user.
        "super.users": f"User:{ADMIN};User:ANONYMOUS",
        "auto.create.topics.enable": "false",
    }


def _certificates(directory: Path) -> tuple[Path, Path]:
    """The authority's certificate, and the broker's key with its certificate."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of tests")])
    authority = _signed(name, authority_key.public_key(), name, authority_key, is_authority=True)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = _signed(subject, key.public_key(), name, authority_key, is_authority=False)
    pem = serialization.Encoding.PEM
    authority_file, keystore = directory / "authority.pem", directory / "broker.pem"
    authority_file.write_bytes(authority.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    keystore.write_bytes(private + certificate.public_bytes(pem) + authority.public_bytes(pem))
    return authority_file, keystore


def _signed(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([address, x509.DNSName("localhost")]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )

"""Kafka as it is run in production: TLS, every SASL mechanism, no right beyond the documented ones."""

import asyncio
import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from support import secure_broker
from support.broker import Reader, broker_script, choose
from support.produce import unique
from support.running import Running, free_port, sealed_rows, wait_until, write_config
from support.secure_broker import ADMIN, AUDITFUSE, PASSWORDS, STRANGER, SecureBroker, unsecured_token
from support.service import QUICK, event

from pipeline.config import load_config
from pipeline.doctor.topics import kafka_topics
from pipeline.errors import TopicError
from pipeline.topics.kafka import KafkaConfig, KafkaConsumer, KafkaProducer

ROOT = Path(__file__).resolve().parents[2]
NEEDS = "needs Apache Kafka on the JVM (Java 17 and Maven), which can be set up with TLS and ACLs"
pytestmark = [
    pytest.mark.skipif(not broker_script().jvm_available() or choose().kind == "given", reason=NEEDS),
    pytest.mark.timeout(120),
]
GROUP_PREFIX = "recorder"


@pytest.fixture(scope="module")
def secure() -> Iterator[SecureBroker]:
    with secure_broker.running(ROOT / "build" / "kafka" / f"secure-{os.getpid()}") as broker:
        yield broker


@pytest.fixture(scope="module")
def topic(secure: SecureBroker) -> str:
    """A topic that AUDITFUSE may read and write, and what else docs/kafka.md lists."""
    name = unique("secured")
    asyncio.run(create(secure, name))
    asyncio.run(secure.allow(AUDITFUSE, documented_rights(name)))
    return name


async def create(secure: SecureBroker, name: str) -> None:
    admin = AIOKafkaAdminClient(**secure.config(ADMIN).connection_options())
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()


def documented_rights(topic: str) -> list[secure_broker.Acl]:
    """The rows of the table of ACLs in docs/kafka.md."""
    kinds = {"topic": secure_broker.TOPIC, "group": secure_broker.GROUP}
    operations = {
        "Read": secure_broker.READ,
        "Write": secure_broker.WRITE,
        "Describe": secure_broker.DESCRIBE,
        "DescribeConfigs": secure_broker.DESCRIBE_CONFIGS,
    }
    rows = re.findall(
        r"^\| (topic|group) \| (.+?) \| (.+?) \|", (ROOT / "docs" / "kafka.md").read_text(), re.M
    )
    assert len(rows) >= 3
    return [
        (kinds[kind], *((topic, 3) if kind == "topic" else (GROUP_PREFIX, 4)), operations[operation])
        for kind, _, names in rows
        for operation in names.split(", ")
    ]


class FakeIdentityProvider(BaseHTTPRequestHandler):
    """A token endpoint that knows one client. Its tokens are unsigned: the tests' broker takes such."""

    asked: list[dict[str, list[str]]] = []  # noqa: RUF012 (one server, one list)

    def do_POST(self) -> None:
        self.asked.append(parse_qs(self.rfile.read(int(self.headers["content-length"])).decode()))
        known = self.headers["authorization"] == "Basic cmVjb3JkZXI6c2VzYW1l"  # recorder:sesame
        body = {"access_token": unsecured_token(AUDITFUSE), "expires_in": 600} if known else {"error": "no"}
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), FakeIdentityProvider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/token"
    server.shutdown()


def of_mechanism(secure: SecureBroker, mechanism: str, provider: str, folder: Path) -> KafkaConfig:
    options: dict[str, Any] = {"group_id": unique(GROUP_PREFIX)}
    if mechanism == "token file":
        file = folder / "token"
        file.write_text(unsecured_token(AUDITFUSE) + "\n")
        return secure.config(mechanism="OAUTHBEARER", sasl_token_file=file, **options)
    if mechanism == "token url":
        client = {"sasl_client_id": "recorder", "sasl_client_secret": "sesame", "sasl_scope": "kafka"}
        return secure.config(mechanism="OAUTHBEARER", sasl_token_url=provider, **client, **options)
    return secure.config(mechanism=mechanism, **options)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "token file", "token url"])
async def test_what_is_appended_is_read_with_the_documented_rights(
    secure: SecureBroker, topic: str, provider: str, tmp_path: Path, mechanism: str
) -> None:
    config = of_mechanism(secure, mechanism, provider, tmp_path)
    value = f"by {mechanism}".encode()
    producer = KafkaProducer(config, topic)
    await producer.start()
    [(_, offset)] = await producer.append([value])
    await producer.stop()
    async with Reader(KafkaConsumer(config, topic), {0: offset}) as reader:
        await reader.until(1)
    assert reader.got[0][0].value == value
    if mechanism == "token url":
        assert FakeIdentityProvider.asked[0] == {"grant_type": ["client_credentials"], "scope": ["kafka"]}
        assert len(FakeIdentityProvider.asked) <= 3  # one a client: producer, consumer, identity


async def test_who_is_not_let_in_is_told_so_without_a_secret(
    secure: SecureBroker, topic: str, provider: str
) -> None:
    wrong = secure.config(AUDITFUSE, sasl_password="guessed-it")
    unknown = secure.config(
        mechanism="OAUTHBEARER",
        sasl_token_url=provider,
        sasl_client_id="recorder",
        sasl_client_secret="guessed-it",
    )
    for config, named in ((wrong, "does not let this client in"), (unknown, "answered 401")):
        with pytest.raises(TopicError, match=named) as refused:
            await KafkaProducer(config, topic).start()
        assert "guessed-it" not in str(refused.value)


async def test_who_may_not_read_is_told_which_right_lacks(secure: SecureBroker, topic: str) -> None:
    consumer = KafkaConsumer(secure.config(STRANGER), topic)
    with pytest.raises(TopicError, match=f"not authorized to describe and read topic {topic}.*ACL"):
        await consumer.start(lambda _: {}, None)  # pyright: ignore[reportArgumentType]


async def test_a_broker_of_another_authority_is_not_trusted(secure: SecureBroker, topic: str) -> None:
    config = secure.config(ssl_cafile=None)
    with pytest.raises(TopicError, match="does not answer"):
        await KafkaProducer(config, topic).start()


def test_auditfuse_runs_with_the_documented_rights(secure: SecureBroker, topic: str, tmp_path: Path) -> None:
    port = free_port()
    kafka = {
        "bootstrap_servers": secure.bootstrap,
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(secure.authority),
        "sasl_username": AUDITFUSE,
        "group_id": unique(GROUP_PREFIX),
    }
    source = {"name": "s", "topic": topic, "kind": "kafka", "format": "events"}
    config = write_config(
        tmp_path,
        data_dir=str(tmp_path),
        kafka=kafka,
        sources=[source | {"agents": ["*"], "environments": ["*"]}],
        killswitch={"port": port},
        **QUICK,
    )
    password = {"AUDITFUSE_KAFKA__SASL_PASSWORD": PASSWORDS[AUDITFUSE]}
    with Running(tmp_path, port, env=password) as running:
        running.wait_ready()
        before = sealed_rows(tmp_path / "store")
        asyncio.run(_produce(secure, topic, [event() for _ in range(20)]))
        wait_until(lambda: sealed_rows(tmp_path / "store") >= before + 20, 60, "all is sealed")
        assert running.stop() == 0
        assert PASSWORDS[AUDITFUSE] not in running.log()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUDITFUSE_KAFKA__SASL_PASSWORD", PASSWORDS[AUDITFUSE])
        checks = {one.check: one.state for one in kafka_topics(load_config(config))}
    assert checks == {"kafka": "well", f"topic {topic}": "well"}


async def _produce(secure: SecureBroker, topic: str, messages: list[bytes]) -> None:
    producer = KafkaProducer(secure.config(), topic)
    await producer.start()
    await producer.append(messages)
    await producer.stop()

"""docs/openapi.yaml says what the code does: its routes, and under fuzzing its answers.

AUDITFUSE_FUZZ_EXAMPLES sets how many requests each operation gets.
"""

import hashlib
import json
import os

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from support.docs import ROOT
from support.killswitch import PEOPLE
from support.web import stand

from pipeline.decode.sources import SourceConfig
from pipeline.killswitch import attempts, lease_server, ofrep
from pipeline.receive.app import PATHS, create_receiver
from pipeline.receive.config import ReceiverConfig

DOCUMENT = ROOT / "docs" / "openapi.yaml"
EXAMPLES = int(os.environ.get("AUDITFUSE_FUZZ_EXAMPLES", "5"))
PLAIN = {
    ("POST", ofrep.PATH),
    ("POST", f"{ofrep.PATH}/{{key}}"),
    ("POST", lease_server.PATH),
    ("GET", lease_server.STREAM_PATH),
    ("DELETE", f"{lease_server.PATH}/{{client}}"),
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
TOKENS = [None, "Bearer wrong", "Basic eDp5", *(f"Bearer {name}-token" for name in PEOPLE)]


@schemathesis.serializer("application/x-protobuf", "application/x-ndjson")
def as_it_is(context, value):
    """Schemathesis has none of these; its JSON is as good as any other nonsense."""
    return json.dumps(value).encode()


schema = schemathesis.openapi.from_path(DOCUMENT)
schema.config.phases.coverage.enabled = EXAMPLES >= 50  # hundreds of requests for each operation
control = schema.exclude(path=list(PATHS)).exclude(path="/readyz")
received = schema.include(path=list(PATHS))
bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=EXAMPLES < 50,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def control_client(tmp_path_factory):
    with stand(tmp_path_factory.mktemp("control")) as stood, pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempts, "FIRST_DELAY_S", 0.0)  # wrong tokens are many here
        with asgi.get_client(stood.app, max_stream_events=1) as client:
            yield client
        assert stood.switch.state is not None


class Discarding:
    """A topic that keeps nothing."""

    async def append(self, values, *, partition=None, key=None):
        return [(0, number) for number, _ in enumerate(values)]


@pytest.fixture(scope="module")
def receiver_client():
    formats = {"otlp_spans": "spans", "otlp_logs": "logs", "events": "events"}
    sources = [
        SourceConfig(name=name, topic=name, kind="local", format=wanted, agents=("*",), environments=("*",))
        for wanted, name in formats.items()
    ]
    token = {
        "name": "aldo",
        "sha256": hashlib.sha256(b"aldo-token").hexdigest(),
        "sources": [*formats.values()],
    }
    config = ReceiverConfig.model_validate({"tokens": [token]})
    app = create_receiver(config, sources, lambda _: Discarding())
    with asgi.get_client(app) as client:
        yield client


@control.parametrize()
@bounded
def test_the_control_server_answers_as_documented(case, control_client):
    fuzz(case, control_client)


@received.parametrize()
@bounded
def test_the_receiver_answers_as_documented(case, receiver_client):
    fuzz(case, receiver_client)


def fuzz(case, client):
    """Send a case with some token, most often one that may."""
    number = sum(map(ord, repr(case.body)[:64]))
    token = TOKENS[number % len(TOKENS)] if number % 3 == 0 else "Bearer aldo-token"
    headers = {"authorization": token} if token else {}
    case.call_and_validate(f"http://{asgi.HOST}", session=client, headers=headers, checks=CHECKS)


def test_every_route_is_documented_and_every_documented_one_is_there(tmp_path):
    document = yaml.safe_load(DOCUMENT.read_text())
    documented = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
        if method != "servers"
    }
    with stand(tmp_path) as stood:
        routed = {
            (method, route.path)
            for route in stood.app.rest.routes
            for method in (route.methods or ())
            if method != "HEAD"
        }
    assert documented == routed | PLAIN | {("POST", path) for path in PATHS}


def test_every_reference_leads_somewhere():
    document = yaml.safe_load(DOCUMENT.read_text())
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)

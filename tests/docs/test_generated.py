"""What is generated is committed as it is generated, and says what is true."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from support.docs import GENERATOR, ROOT

from pipeline.decode import message
from pipeline.decode.action_kind import ToolPatterns
from pipeline.decode.base import DeadLetter
from pipeline.decode.sources import SourceConfig
from pipeline.generate.stream import StreamConfig, generate

DOCS = ROOT / "docs"
SCHEMAS = sorted((DOCS / "schemas").glob("*.json"))
SOURCE = SourceConfig(name="s", topic="t", format="events", agents=("*",), environments=("*",))


def schema(name: str) -> dict[str, Any]:
    return json.loads((DOCS / "schemas" / f"{name}.json").read_text())


def test_everything_generated_is_up_to_date():
    done = subprocess.run(
        [sys.executable, GENERATOR, "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stderr}\nrun `make docs` and commit what it writes"


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_schemas_are_schemas(path: Path):
    document = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(document)
    references = set(_references(document))
    assert references <= {f"#/$defs/{name}" for name in document.get("$defs", {})}


def test_asyncapi_holds_together():
    document = yaml.safe_load((DOCS / "asyncapi.yaml").read_text())
    assert document["asyncapi"] == "3.0.0"
    for reference in _references(document):
        if reference.startswith("./"):
            assert (DOCS / reference).is_file(), reference
        else:
            assert _resolve(document, reference), reference
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"]
        assert all(one["$ref"].startswith(f"{channel}/messages/") for one in operation["messages"])
        assert operation["action"] in ("send", "receive")
    channels = {f"#/channels/{name}" for name in document["channels"]}
    assert {operation["channel"]["$ref"] for operation in document["operations"].values()} == channels


def test_generated_events_are_native_events():
    validator = jsonschema.Draft202012Validator(schema("native_event"))
    for event in generate(StreamConfig(length_s=60)):
        validator.validate(msgspec.to_builtins(event))


@pytest.mark.parametrize(
    ("event", "is_valid"),
    [
        ({"start_time_unix_nano": 1, "agent_id": "a"}, True),
        ({"start_time_unix_nano": 1, "agent_id": "a", "scopes": None, "attributes": None}, True),
        ({"start_time_unix_nano": 1, "agent_id": "a", "flags": "mine", "approval_source": 7}, True),
        ({"start_time_unix_nano": 1, "agent_id": "a", "anything": {"else": 1}}, True),
        ({"start_time_unix_nano": 1}, False),
        ({"agent_id": "a"}, False),
        ({"start_time_unix_nano": 1, "agent_id": ""}, False),
        ({"start_time_unix_nano": 1, "agent_id": "a" * 513}, False),
        ({"start_time_unix_nano": "1", "agent_id": "a"}, False),
        ({"start_time_unix_nano": 1, "agent_id": "a", "action_kind": "delete"}, False),
        ({"start_time_unix_nano": 1, "agent_id": "a", "scopes": "all"}, False),
        ({"start_time_unix_nano": 1, "agent_id": "a", "schema_version": 2}, False),
    ],
)
def test_the_schema_of_native_events_says_what_the_decoder_does(event: dict[str, Any], is_valid: bool):
    (decoded,) = message.decode_message(
        json.dumps(event).encode(),
        topic_id="t." + "0" * 32,
        partition=0,
        offset=0,
        broker_time_ms=1,
        source=SOURCE,
        patterns=ToolPatterns(),
    )
    assert (not isinstance(decoded.event, DeadLetter)) is is_valid
    assert jsonschema.Draft202012Validator(schema("native_event")).is_valid(event) is is_valid


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for part in value.values() for found in _references(part)]
    if isinstance(value, list):
        return [found for part in value for found in _references(part)]
    return []


def _resolve(document: Any, reference: str) -> Any:
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document

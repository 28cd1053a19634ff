"""Both implementations of a topic, for the one suite that holds them to the contract."""

import uuid
from pathlib import Path

import pytest
from support.broker import KafkaTopics
from support.local import LocalTopics


@pytest.fixture(params=["local", "kafka"])
def topics(request: pytest.FixtureRequest, tmp_path: Path) -> LocalTopics | KafkaTopics:
    if request.param == "local":
        return LocalTopics(tmp_path)
    return KafkaTopics(request.getfixturevalue("kafka"))


@pytest.fixture
def name() -> str:
    return f"topic-{uuid.uuid4().hex}"

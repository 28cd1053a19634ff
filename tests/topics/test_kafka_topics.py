"""`auditfuse topics create | check`: what the topics of a configuration need, on a real broker."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from support.broker import TestBroker
from support.produce import create_topic, unique
from support.running import write_config
from typer.testing import CliRunner, Result

from pipeline.cli import build_app
from pipeline.config import load_config
from pipeline.errors import ConfigError, TopicError
from pipeline.topics.wanted import Complaint, FoundTopic, WantedTopic, complaints, wanted_topics

BOOTSTRAP = "kafka.example:9092"


def configured(folder: Path, bootstrap: str, prefix: str) -> Path:
    """A configuration that names every kind of topic."""
    source = {"name": "a", "topic": f"{prefix}-events", "kind": "kafka", "format": "events"}
    return write_config(
        folder,
        kafka={"bootstrap_servers": bootstrap},
        sources=[source | {"agents": ["*"], "environments": ["*"]}],
        dead_letters={"topic": f"{prefix}-dead"},
        redacted={"topic": f"{prefix}-redacted"},
        signals={"topic": f"{prefix}-signals", "partitions": 5},
        killswitch={"topic": f"{prefix}-trips"},
        checkpoint={"anchors": [{"kind": "kafka", "name": "far", "topic": f"{prefix}-checkpoints"}]},
    )


def run(verb: str, config: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(build_app(), ["topics", verb, "--config", str(config), *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def wanted(folder: Path) -> dict[str, WantedTopic]:
    config = load_config(configured(folder, BOOTSTRAP, "x"))
    return {one.name.removeprefix("x-"): one for one in wanted_topics(config)}


def found_of(
    topic: WantedTopic, replicas: int = 3, partitions: int | None = None, **changes: str
) -> FoundTopic:
    """A topic with everything as it should be, but for the changes."""
    settings = {one.name: one.value for one in topic.settings} | {"min.insync.replicas": "2"}
    settings |= {name.replace("_", "."): value for name, value in changes.items()}
    return FoundTopic(partitions or topic.partitions or 1, replicas, settings)


def told(topic: WantedTopic, found: FoundTopic | None) -> list[Complaint]:
    return list(complaints(topic, found, BOOTSTRAP))


WRONG: dict[str, tuple[str, dict[str, Any], bool]] = {
    "stamped by senders": ("events", {"message_timestamp_type": "CreateTime"}, False),
    "compacted input": ("events", {"cleanup_policy": "compact,delete"}, True),
    "short retention": ("events", {"retention_ms": "3600000"}, False),
    "small messages": ("events", {"max_message_bytes": "1048588"}, True),
    "one acknowledgement": ("events", {"min_insync_replicas": "1"}, False),
    "redacted for ever": ("redacted", {"retention_ms": "-1"}, False),
    "too few shards": ("signals", {"partitions": 3}, True),
    "trips by age": ("trips", {"cleanup_policy": "delete"}, True),
    "checkpoints expire": ("checkpoints", {"retention_ms": "604800000"}, True),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_setting_is_told_with_the_command_that_puts_it_right(tmp_path: Path, name: str) -> None:
    which, changes, is_fatal = WRONG[name]
    topic = wanted(tmp_path)[which]
    assert told(topic, found_of(topic)) == []
    (complaint,) = told(topic, found_of(topic, **changes))
    assert complaint.is_fatal is is_fatal
    assert topic.name in complaint.command and BOOTSTRAP in complaint.command
    assert complaint.setting.replace(".", "_") in changes and complaint.wanted in complaint.command


def test_longer_and_larger_is_well_and_few_replicas_need_no_quorum(tmp_path: Path) -> None:
    topics = wanted(tmp_path)
    assert not told(
        topics["events"], found_of(topics["events"], retention_ms="-1", max_message_bytes="99999999")
    )
    assert not told(topics["events"], found_of(topics["events"], replicas=1, min_insync_replicas="1"))
    shards = told(topics["signals"], found_of(topics["signals"], partitions=9))
    assert "signals.partitions = 9" in shards[0].command, "partitions cannot be taken away"
    assert told(topics["trips"], None)[0].found == "is not there"
    (hidden,) = told(topics["dead"], FoundTopic(1, 3, None))
    assert "--operation DescribeConfigs" in hidden.command


@pytest.mark.kafka_apache
def test_what_is_missing_is_made_and_what_is_there_is_judged(tmp_path: Path, kafka: TestBroker) -> None:
    prefix = unique("made")
    config = configured(tmp_path, kafka.bootstrap, prefix)
    trips = f"{prefix}-trips"
    asyncio.run(create_topic(kafka.bootstrap, trips, 1, cleanup_policy="delete"))
    before = json.loads(run("check", config, "--json").stdout)
    assert [one["partitions"] for one in before].count(None) == 5, "looking makes no topic"
    result = run("create", config, "--partitions", "3", "--json")
    assert result.exit_code == 1
    made = {one["topic"].removeprefix(f"{prefix}-"): one for one in json.loads(result.stdout)}
    assert {name: one["created"] for name, one in made.items()} == {
        "events": True,
        "dead": True,
        "redacted": True,
        "signals": True,
        "trips": False,
        "checkpoints": True,
    }
    assert (made["events"]["partitions"], made["signals"]["partitions"]) == (3, 5)
    wrong = {name for name, one in made.items() if one["complaints"]}
    assert wrong == {"trips"}, "what was made is as it must be"
    said = run("check", config)
    assert said.exit_code == 1 and "WRONG: cleanup.policy is delete, wanted compact" in said.stdout
    again = json.loads(run("create", config, "--json").stdout)
    assert not any(one["created"] for one in again), "made once"


@pytest.mark.kafka_apache
def test_more_replicas_than_brokers_are_refused_in_words(tmp_path: Path, kafka: TestBroker) -> None:
    config = configured(tmp_path, kafka.bootstrap, unique("replicas"))
    with pytest.raises(TopicError, match="9 replicas do not fit"):
        run("create", config, "--replication-factor", "9")


def test_a_configuration_without_a_topic_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no Kafka topic"):
        run("check", write_config(tmp_path))

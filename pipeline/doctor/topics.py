"""Kafka: whether it answers, and whether the topics are set as detection and the audit trail need them."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pipeline.config import Config
from pipeline.doctor.model import CheckResult, fails, warning, well
from pipeline.topics.kafka_config import KafkaConfig, unreachable

TIMEOUT_MS = 8_000
MIN_RETENTION_MS = 24 * 3_600_000
"""A weekend's halt should not lose events; a day is the least that is not complained of."""

Settings = Mapping[str, str]


def kafka_topics(config: Config) -> Iterator[CheckResult]:
    """Each source's topic, in the order of the configuration."""
    names = [source.topic for source in config.sources if source.kind == "kafka"]
    if not names:
        yield well("kafka", "no source reads from Kafka")
        return
    found = asyncio.run(_describe(config.kafka, names))
    yield well("kafka", f"{config.kafka.bootstrap_servers} answers")
    for name in names:
        settings = found.get(name)
        if settings is None:
            yield fails(
                f"topic {name}", "is not there, or may not be described", "create it, or grant Describe"
            )
        else:
            yield from _judge(name, settings)


def _judge(name: str, settings: Settings) -> Iterator[CheckResult]:
    complaints = 0
    if settings.get("message.timestamp.type") != "LogAppendTime":
        complaints += 1
        yield warning(
            f"topic {name}",
            "messages bear the sender's time (CreateTime): their findings page, and trip nothing",
            f"kafka-configs --alter --topic {name} --add-config message.timestamp.type=LogAppendTime",
        )
    if "compact" in settings.get("cleanup.policy", ""):
        complaints += 1
        yield fails(
            f"topic {name}",
            "is compacted: Kafka drops events before they are sealed",
            f"kafka-configs --alter --topic {name} --add-config cleanup.policy=delete",
        )
    retention_ms = int(settings.get("retention.ms", -1))
    if 0 <= retention_ms < MIN_RETENTION_MS:
        complaints += 1
        yield warning(
            f"topic {name}",
            f"keeps messages for {retention_ms / 3_600_000:.1f} hours: a longer halt loses the rest",
            f"kafka-configs --alter --topic {name} --add-config retention.ms=259200000",
        )
    if not complaints:
        yield well(f"topic {name}", "append time, deleted by age alone, kept for a day or more")


async def _describe(config: KafkaConfig, names: list[str]) -> dict[str, Settings]:
    """The settings of the topics that are there."""
    options: dict[str, Any] = config.connection_options() | {"request_timeout_ms": TIMEOUT_MS}
    client = AIOKafkaAdminClient(**options)
    try:
        await client.start()
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        answers: list[Any] = await client.describe_configs(wanted)
    except (errors.KafkaError, OSError, TimeoutError) as error:
        raise unreachable(config, error) from None
    finally:
        await client.close()
    return {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for answer in answers
        for resource in answer.resources
        if resource[0] == 0
    }

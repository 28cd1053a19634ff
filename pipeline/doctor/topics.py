"""Kafka: whether it answers, and whether the topics are set as the flow needs them (`auditfuse topics`)."""

import asyncio
from collections.abc import Iterator

from pipeline.config import Config
from pipeline.doctor.model import CheckResult, fails, warning, well
from pipeline.topics.kafka_admin import describe_topics
from pipeline.topics.wanted import complaints, wanted_topics


def kafka_topics(config: Config) -> Iterator[CheckResult]:
    """Each topic that the configuration names, in the order of the flow."""
    wanted = wanted_topics(config)
    if not wanted:
        yield well("kafka", "no topic of Kafka's is used")
        return
    found = asyncio.run(describe_topics(config.kafka, [one.name for one in wanted]))
    yield well("kafka", f"{config.kafka.bootstrap_servers} answers")
    for topic in wanted:
        told = list(complaints(topic, found.get(topic.name), config.kafka.bootstrap_servers))
        for one in told:
            says = f"{one.setting} is {one.found or 'not set'}, wanted {one.wanted}: {one.why}"
            yield (fails if one.is_fatal else warning)(f"topic {topic.name}", says, one.command)
        if not told:
            yield well(f"topic {topic.name}", f"is set as {topic.use} must be")

"""Topics as the cluster has them, and making those that are missing; by aiokafka's admin client.

The client speaks old versions of the requests: the replication factor must be given, and a topic that is
asked for by name may be made by the asking, so it is looked for among all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pipeline.errors import TopicError
from pipeline.topics.kafka_config import KafkaConfig, unreachable
from pipeline.topics.wanted import FoundTopic, WantedTopic, creation_settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

TIMEOUT_MS = 8_000
USUAL_REPLICAS = 3
_SHOWN_S = 10.0
_POLL_S = 0.2
_CODE, _TOPIC, _ENTRIES = 0, 3, 4
"""Places in a described resource."""


async def describe_topics(config: KafkaConfig, names: Sequence[str]) -> dict[str, FoundTopic]:
    """Those of the topics that are there. Raises TopicError where the cluster does not answer."""
    async with _admin(config) as client:
        return await _describe(client, names)


async def create_topics(
    config: KafkaConfig, wanted: Sequence[WantedTopic], *, replicas: int | None, partitions: int | None
) -> list[str]:
    """Make the topics that are missing; the names of those made. One that is there is left as it is.

    `replicas`: three by default, or as many as there are brokers. `partitions`: of topics for which any
    number will do. Raises TopicError.
    """
    async with _admin(config) as client:
        there = await _describe(client, [one.name for one in wanted])
        brokers = len((await client.describe_cluster())["brokers"])
        copies = replicas or min(USUAL_REPLICAS, brokers)
        missing = {one.name: one for one in wanted if one.name not in there}
        new = [
            NewTopic(
                one.name,
                one.partitions or partitions or one.default_partitions,
                copies,
                topic_configs=creation_settings(one, copies),
            )
            for one in missing.values()
        ]
        if new:
            answer: Any = await client.create_topics(new)
            _require_made(answer.topic_errors, copies, brokers)
            await _wait_until_shown(client, list(missing))
        return list(missing)


def _require_made(topic_errors: Sequence[Sequence[Any]], copies: int, brokers: int) -> None:
    for name, code, *_ in topic_errors:
        error = errors.for_code(code)
        if error in (errors.NoError, errors.TopicAlreadyExistsError):
            continue
        if error is errors.InvalidReplicationFactorError:
            why = f"{copies} replicas do not fit on {brokers} brokers; give --replication-factor"
        elif error in (errors.TopicAuthorizationFailedError, errors.ClusterAuthorizationFailedError):
            why = (
                "this client may not create topics; grant Create on the topic, or let an administrator do it"
            )
        else:
            why = error.__name__
        raise TopicError(f"Kafka did not make topic {name}: {why}")


async def _wait_until_shown(client: AIOKafkaAdminClient, names: Sequence[str]) -> None:
    """A broker may not know of a topic that the controller has just made."""
    try:
        async with asyncio.timeout(_SHOWN_S):
            while not set(names) <= set(await client.list_topics()):  # noqa: ASYNC110 (no event tells of it)
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise TopicError("the topics were made, but the broker does not show them yet; check again") from None


async def _describe(client: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, FoundTopic]:
    wanted = set(names)
    metadata: list[dict[str, Any]] = await client.describe_topics()
    there = {one["topic"]: one["partitions"] for one in metadata if one["topic"] in wanted}
    if not there:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in there]
    answers: list[Any] = await client.describe_configs(resources)
    settings: Mapping[str, dict[str, str]] = {
        resource[_TOPIC]: {entry[0]: entry[1] for entry in resource[_ENTRIES]}
        for answer in answers
        for resource in answer.resources
        if resource[_CODE] == 0
    }
    return {
        name: FoundTopic(
            partitions=len(partitions),
            replicas=min((len(one["replicas"]) for one in partitions), default=0),
            settings=settings.get(name),
        )
        for name, partitions in there.items()
    }


@asynccontextmanager
async def _admin(config: KafkaConfig) -> AsyncGenerator[AIOKafkaAdminClient]:
    options: dict[str, Any] = config.connection_options() | {"request_timeout_ms": TIMEOUT_MS}
    client = AIOKafkaAdminClient(**options)
    try:
        await client.start()
        yield client
    except (errors.KafkaError, OSError, TimeoutError) as error:
        raise unreachable(config, error) from None
    finally:
        await client.close()

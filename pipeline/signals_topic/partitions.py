"""How many partitions the signals topic has: each is a shard, so the number must be the configured one."""

from aiokafka import errors
from aiokafka.client import AIOKafkaClient

from pipeline.errors import ConfigError, TopicError
from pipeline.signals_topic.config import SignalsConfig
from pipeline.topics.kafka_config import KafkaConfig, unreachable


async def require_partitions(kafka: KafkaConfig, signals: SignalsConfig) -> None:
    """Raises TopicError where the topic is not there or no broker answers, ConfigError where it has another
    number of partitions."""
    name = signals.topic or ""
    client = AIOKafkaClient(**kafka.connection_options())
    try:
        await client.bootstrap()
        await client.set_topics([name])
        found = client.cluster.partitions_for_topic(name)
    except errors.KafkaError as error:
        raise unreachable(kafka, error) from None
    finally:
        await client.close()
    if not found:
        raise TopicError(f"there is no topic {name}; make it: auditfuse topics create")
    if len(found) != signals.partitions:
        raise ConfigError(
            f"topic {name} has {len(found)} partitions, signals.partitions says {signals.partitions}: set it "
            f"to {len(found)}, or make the topic anew (nothing in it is needed); another number than before "
            "takes one start with auditfuse run --reshard"
        )

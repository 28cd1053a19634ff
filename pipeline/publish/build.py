"""The publishers that a configuration asks for."""

from pipeline.audit.store import Store
from pipeline.config import Config
from pipeline.keys import Keys
from pipeline.publish.config import DeadLettersConfig, RedactedConfig
from pipeline.publish.dead_letters import DeadLetters
from pipeline.publish.native import NativeEvents
from pipeline.publish.output import Output
from pipeline.publish.publisher import Publisher
from pipeline.respond.state import StateDatabase
from pipeline.topics.base import Producer
from pipeline.topics.kafka_producer import KafkaProducer
from pipeline.topics.local import LocalProducer


def new_publishers(config: Config, store: Store, state: StateDatabase, keys: Keys) -> list[Publisher]:
    """One for each output topic that is configured."""

    def publisher(part: str, asked: DeadLettersConfig | RedactedConfig, output: Output) -> list[Publisher]:
        topic = asked.topic
        if topic is None:
            return []

        def producer() -> Producer:
            if asked.kind == "kafka":
                return KafkaProducer(config.kafka, topic)
            return LocalProducer(config.topics, topic, keys)

        return [Publisher(part, store, state, output, f"{asked.kind}/{topic}", producer)]

    return [
        *publisher("dead-letter topic", config.dead_letters, DeadLetters()),
        *publisher("redacted topic", config.redacted, redacted_output(config.redacted)),
    ]


def redacted_output(config: RedactedConfig) -> Output:
    """The redacted stream in the configured format."""
    if config.format == "native":
        return NativeEvents(config.max_message_bytes)
    from pipeline.publish.otlp import OtlpSpans  # protobuf is read for those who ask for it alone

    return OtlpSpans(config.max_message_bytes)

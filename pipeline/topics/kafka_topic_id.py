"""The identity of a Kafka topic: its UUID, which a topic that is deleted and made anew does not keep.

aiokafka speaks the Metadata request up to version 5; the UUID is in version 12 (Kafka 3.1 and newer), so
that version's request and response are spelled out here. Shapes: Kafka's protocol guide, Metadata (key 3).
"""

import asyncio
import time
from io import BytesIO
from typing import Any, cast

from aiokafka import errors
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from pipeline.errors import TopicError
from pipeline.topics.kafka_config import KafkaConfig, unreachable

_NO_ID = bytes(16)
_RETRY_S = 0.2


class _Uuid(AbstractType[bytes]):
    """16 bytes as they are."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _MetadataResponseV12(Response):
    # aiokafka declares these as abstract properties, and sets them so in its own classes.
    API_KEY = 3  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    API_VERSION = 12  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequestV12(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponseV12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicIdRequest(Request[_MetadataRequestV12]):
    API_KEY = 3

    def __init__(self, name: str, create: bool) -> None:
        self._name = name
        self._create = create

    def build(self, request_struct_class: type[_MetadataRequestV12]) -> _MetadataRequestV12:
        return request_struct_class([(_NO_ID, self._name, {})], self._create, False, {})


class TopicIdentity:
    """Asks for a topic's identity over a connection of its own, where no long fetch is in the way."""

    def __init__(self, config: KafkaConfig, name: str) -> None:
        self._config = config
        self._name = name
        self._client: AIOKafkaClient | None = None

    async def look_up(self, *, create: bool = False, timeout_s: float = 20.0) -> str:
        """`<name>.<32 hex of the topic's UUID>`. With `create` the broker may make a missing topic, if its
        settings say so. Raises TopicError where the broker cannot be reached or the topic is not there."""
        try:
            if self._client is None:
                self._client = AIOKafkaClient(**self._config.connection_options())
                await self._client.bootstrap()
            return await _ask_until_known(self._client, self._name, create, time.monotonic() + timeout_s)
        except (errors.IncompatibleBrokerVersion, NotImplementedError):
            # The latter is aiokafka's word for a version that the broker does not speak.
            await self.close()
            servers = self._config.bootstrap_servers
            raise TopicError(
                f"the broker at {servers} names no topic ids; Kafka 3.1 or newer is needed"
            ) from None
        except errors.KafkaError as error:
            await self.close()
            raise unreachable(self._config, error) from None
        except asyncio.CancelledError:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection; the next look-up opens another."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()


async def _ask_until_known(client: AIOKafkaClient, name: str, create: bool, deadline: float) -> str:
    """A topic that was just made is unknown to a broker for a moment."""
    while True:
        response = cast("Any", await client.send(client.get_random_node(), _TopicIdRequest(name, create)))
        code: int = response.topics[0][0]
        uuid: bytes = response.topics[0][2]
        error = errors.for_code(code)
        if error is errors.NoError and uuid != _NO_ID:
            return f"{name}.{uuid.hex()}"
        if error is errors.TopicAuthorizationFailedError:
            raise TopicError(f"not authorized to describe and read topic {name}; grant it in Kafka's ACLs")
        if time.monotonic() > deadline or not (create or getattr(error, "retriable", False)):
            raise TopicError(f"topic {name} does not exist ({error.__name__}); create it, or check its name")
        await asyncio.sleep(_RETRY_S)

"""The role control: the kill switch is served. It must work when everything else is broken."""

import asyncio

from pipeline.approvals_follower import ApprovalsFollower
from pipeline.audit.erase.orders import ControlRows
from pipeline.killswitch.actuators.run import Actuators
from pipeline.killswitch.topic import TopicPublisher
from pipeline.roles.parts import Parts
from pipeline.tail import Handover, Tail
from pipeline.topics.kafka_compacted import live_keys
from pipeline.topics.kafka_producer import KafkaProducer


class Control:
    """What goes with the kill switch on a host that serves it. The HTTP server is the service's."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.actuators = Actuators(parts.switch, tell=parts.notices.tell, now_ms=parts.now_ms)
        """Started and stopped with the switch, by whoever serves it."""
        detects_all = "detect" in parts.roles and parts.shards is None
        self._follower = None if detects_all else self._new_follower()

    def start(self) -> None:
        """Begin to follow the approvals, where detection does not."""
        if self._follower is not None:
            self._follower.start()

    async def run(self, done: asyncio.Event) -> None:
        """Its threads need no event loop."""
        await done.wait()

    def close(self) -> None:
        """The next start goes on from here."""
        if self._follower is not None:
            self._follower.stop()
            self._follower.save()

    def readiness(self) -> dict[str, bool]:
        """Its record was read since the start. Before, the journal's memory is served."""
        parts = {"kill switch record": self._parts.switch.caught_up}
        return parts if self._follower is None else parts | {"approvals": self._follower.is_ready}

    def conditions(self) -> dict[str, str]:
        """The switch's faults are told with every process that has one."""
        return {}

    def new_topic_publisher(self) -> TopicPublisher | None:
        """What writes the trips in force to their Kafka topic, where one is configured."""
        topic, kafka = self._parts.config.killswitch.topic, self._parts.config.kafka
        if topic is None:
            return None
        return TopicPublisher(
            self._parts.switch,
            lambda: KafkaProducer(kafka, topic),
            lambda: live_keys(kafka, topic),
            self._parts.now_ms,
        )

    def _new_follower(self) -> ApprovalsFollower:
        parts, approvals = self._parts, self._parts.config.killswitch.approvals
        return ApprovalsFollower(
            Tail(parts.store, Handover()),
            parts.approvals,
            folder=parts.store.cache_dir / "snapshots",
            reach_ms=int((approvals.valid_s + approvals.use_s + approvals.skew_s) * 1000),
            control=ControlRows(parts.store),
            now_ms=parts.now_ms,
        )

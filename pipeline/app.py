"""All stages in one process: what `auditfuse run` and `auditfuse ingest` start.

    topics → Worker → Partition (prepare, seal) → Watch (detect, trip, commit) → Deliverer (append, page)

The kill switch and its server start first and stop last: they must work when everything else is broken.
"""

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Sequence

import structlog

from pipeline.audit.catalog_runner import CatalogRunner
from pipeline.audit.checkpoint.runner import Checkpoints
from pipeline.audit.compact import Compactor
from pipeline.audit.control import AppendLog, AppendRow
from pipeline.audit.erase.orders import ControlRows
from pipeline.audit.erase.reach import Copies
from pipeline.audit.erase.retention import Retention, RetentionRunner
from pipeline.audit.erase.run import Eraser
from pipeline.audit.readers.trail import ReadersRunner, ReadersTrail
from pipeline.audit.signals import signals_from_rows
from pipeline.audit.store import FINDINGS, open_store
from pipeline.audit.writer import PartitionWriter, new_writer_id
from pipeline.clock import NowMs, system_now_ms
from pipeline.config import Config
from pipeline.decode.sources import SourceConfig
from pipeline.errors import AuditfuseError, ConfigError
from pipeline.keys import Keys
from pipeline.killswitch.actuators.run import Actuators
from pipeline.killswitch.approvals import SealedApprovals
from pipeline.killswitch.control_log import ControlLog
from pipeline.killswitch.notices import Notices
from pipeline.killswitch.state import Context, join
from pipeline.killswitch.switch import KillSwitch
from pipeline.killswitch.topic import TopicPublisher
from pipeline.partition import Stages
from pipeline.pool import PreparePool
from pipeline.prepare import Preparation
from pipeline.publish import STOP_TIMEOUT_S, Publisher
from pipeline.redact.alias import AliasMatcher
from pipeline.redact.reasons import ReasonRedactor
from pipeline.respond.outbox import Deliverer
from pipeline.respond.pager import ApprisePager
from pipeline.respond.state import StateDatabase
from pipeline.switch_notices import NoticeSender
from pipeline.tail import Handover, Tail
from pipeline.topics.base import Consumer, Producer
from pipeline.topics.kafka import KafkaConsumer, KafkaProducer
from pipeline.topics.kafka_compacted import live_keys
from pipeline.topics.local import LocalConsumer, LocalProducer
from pipeline.watch import Watch
from pipeline.web.mount import new_companion
from pipeline.worker import Worker
from schemas.finding import RowOfFindings
from schemas.log_entry import SegmentRef
from schemas.record import Row

log = structlog.get_logger()

RETRY_FIRST_S = 0.5
RETRY_MAX_S = 15.0
THREAD_STOP_S = 30.0


class App:
    """Owns every part; `run` lasts until `stop`."""

    def __init__(
        self,
        config: Config,
        sources: Sequence[SourceConfig],
        now_ms: NowMs = system_now_ms,
        *,
        attempts: int | None = None,
    ) -> None:
        """`attempts`: how often a part may fail before `run` raises; None: it is started again for ever."""
        self._attempts = attempts
        self.config = config
        self.sources = sources
        self._now_ms = now_ms
        self.writer_id = new_writer_id()
        self.store = open_store(config.store)
        self.readers = ReadersTrail.of(self.store, config.readers, config.store)
        self.keys = Keys(config.keys.path)
        self.state = StateDatabase(config.state, config.respond)
        self.reasons = ReasonRedactor(config.redaction, self.keys)
        self.approvals = self._new_approvals()
        self.switch = self._new_switch()
        self.companion = new_companion(config, self.store, now_ms)
        self.deliverer = self._new_deliverer()
        self.notices = Notices(self.switch, NoticeSender(self.state, config.respond, now_ms), now_ms)
        self.actuators = Actuators(self.switch, tell=self.notices.tell, now_ms=now_ms)
        """Started and stopped with the switch, by whoever serves it."""
        self.handover = Handover()
        self.watch = self._new_watch()
        self.pool = PreparePool(
            functools.partial(build_preparation, config, tuple(sources)), config.worker.processes
        )
        self.publisher = self._new_publisher()
        self.checkpoints = Checkpoints(
            self.store, config.checkpoint, config.keys.path, config.kafka, now_ms=now_ms
        )
        """Started by `run`; whoever runs stops them, after the kill switch has sealed its last command."""
        self.workers: dict[str, Worker] = {}
        self.sealed_ends: dict[tuple[str, int], int] = {}
        """Where each partition that this process has sealed goes on …"""
        self.sealed_starts: dict[tuple[str, int], int] = {}
        """… and where this process began to seal it."""
        self.sealed_rows = 0
        self.sealed_dead_letters = 0
        self._stop = asyncio.Event()
        self._watch_stop = threading.Event()

    def stop(self) -> None:
        """Ask `run` to drain, seal and return."""
        self._stop.set()
        for worker in self.workers.values():
            worker.stop()

    @property
    def is_caught_up(self) -> bool:
        """Every message that was there is sealed, was seen by the detectors, and told."""
        read = all(s.name in self.workers and self.workers[s.name].is_caught_up for s in self.sources)
        seen = all(self.watch.ends.get(key, 0) >= end for key, end in self.sealed_ends.items())
        return read and seen

    def readiness(self) -> dict[str, bool]:
        """What must hold before this process does its work, by name."""
        parts = {
            f"source {s.name}": s.name in self.workers and self.workers[s.name].is_ready for s in self.sources
        }
        parts |= {"detection": self.watch.is_ready, "kill switch record": self.switch.caught_up}
        if self.publisher is not None:
            parts["dead-letter topic"] = self.publisher.is_ready
        return parts

    def conditions(self) -> dict[str, str]:
        """What does not work although the rest goes on, by name, with the reason."""
        found = {
            f"partition {partition} of source {name} halted": why
            for name, worker in list(self.workers.items())
            for partition, why in worker.halted.items()
        }
        return found | {f"kill switch: {part} failing": why for part, why in self.switch.faults().items()}

    async def run(self) -> None:
        """Run every stage until `stop`; then drain in the order of the flow."""
        self.pool.warm_up()
        ingest = [
            asyncio.create_task(
                self._supervise(f"source {source.name}", functools.partial(self._ingest, source))
            )
            for source in self.sources
        ]
        delivered, all_sealed = asyncio.Event(), asyncio.Event()
        deliver = asyncio.create_task(self.deliverer.run(delivered))
        publish = asyncio.create_task(
            self._supervise("dead-letter topic", functools.partial(self._publish, all_sealed))
        )
        watch = threading.Thread(target=self._watch_thread, name="watch", daemon=True)
        watch.start()
        background = [
            Compactor(self.store, self.config.store, writer_id=self.writer_id, now_ms=self._now_ms),
            self.notices,
            *([CatalogRunner(self.store)] if self.store.is_local or self.readers else []),
            *([ReadersRunner(self.readers, self.config.readers.interval_s)] if self.readers else []),
            self._new_retention(),
            self.companion,
        ]
        for part in background:
            part.start()
        self.checkpoints.start()
        try:
            await asyncio.gather(*ingest)
            all_sealed.set()
            self._watch_stop.set()
            self.handover.arrived.set()
            await asyncio.to_thread(watch.join, THREAD_STOP_S)
        finally:
            delivered.set()
            await deliver
            all_sealed.set()
            await asyncio.wait([publish], timeout=STOP_TIMEOUT_S)
            publish.cancel()
            await asyncio.gather(publish, return_exceptions=True)
            for part in background:
                part.stop()
            self.pool.close()
            self.state.close()

    async def _supervise(self, part: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a part until the stop; what fails is started again, later and later. A part that is down
        stops no other: least of all the kill switch."""
        pause_s, failures = RETRY_FIRST_S, 0
        while not self._stop.is_set():
            try:
                await run()
                return
            except (ConfigError, asyncio.CancelledError):
                raise
            except Exception as error:  # noqa: BLE001 (named by its type; its text may hold content)
                text = str(error) if isinstance(error, AuditfuseError) else type(error).__name__
                failures += 1
                if failures == self._attempts:
                    raise AuditfuseError(f"{part} failed {failures} times, last with: {text}") from None
                log.error("failed, will be started again", part=part, error=text)
            try:
                await asyncio.wait_for(self._stop.wait(), pause_s)
            except TimeoutError:
                pause_s = min(pause_s * 2, RETRY_MAX_S)

    async def _ingest(self, source: SourceConfig) -> None:
        worker = Worker(
            self._consumer(source),
            source.name,
            Stages(
                prepare=self.pool.prepare,
                on_sealed=self._on_sealed,
                worker=self.config.worker,
                store=self.config.store,
                now_ms=self._now_ms,
            ),
            claim=self._claim,
        )
        self.workers[source.name] = worker
        if not self._stop.is_set():
            await worker.run()

    def _consumer(self, source: SourceConfig) -> Consumer:
        if source.kind == "kafka":
            return KafkaConsumer(self.config.kafka, source.topic)
        return LocalConsumer(self.config.topics, source.topic, self.keys)

    async def _publish(self, all_sealed: asyncio.Event) -> None:
        if self.publisher is not None:
            await self.publisher.run(all_sealed)

    def new_topic_publisher(self) -> TopicPublisher | None:
        """What writes the trips in force to their Kafka topic, where one is configured."""
        topic = self.config.killswitch.topic
        if topic is None:
            return None
        kafka = self.config.kafka
        return TopicPublisher(
            self.switch, lambda: KafkaProducer(kafka, topic), lambda: live_keys(kafka, topic), self._now_ms
        )

    def _new_publisher(self) -> Publisher | None:
        topic = self.config.dead_letters.topic
        if topic is None:
            return None

        def producer() -> Producer:
            if self.config.dead_letters.kind == "kafka":
                return KafkaProducer(self.config.kafka, topic)
            return LocalProducer(self.config.topics, topic, self.keys)

        return Publisher(self.store, self.state, f"{self.config.dead_letters.kind}/{topic}", producer)

    def _new_retention(self) -> RetentionRunner:
        """What applies the retention rules."""
        copies = Copies(self.store, self.config, now_ms=self._now_ms)
        grace_s = self.config.erasure.grace_s
        eraser = Eraser(self.store, self.keys, copies, now_ms=self._now_ms, grace_s=grace_s)
        retention = Retention(eraser, self.config.retention, now_ms=self._now_ms)
        return RetentionRunner(retention, self.config.erasure.retention_interval_s)

    def _claim(self, topic_id: str, partition: int) -> PartitionWriter:
        return PartitionWriter.claim(
            self.store, topic_id, partition, writer_id=self.writer_id, now_ms=self._now_ms
        )

    def _on_sealed(self, topic_id: str, partition: int, segment: SegmentRef, rows: Sequence[Row]) -> None:
        self.sealed_starts.setdefault((topic_id, partition), segment.start)
        self.sealed_ends[topic_id, partition] = segment.end
        self.sealed_rows += len(rows)
        self.sealed_dead_letters += sum(row.kind == "dead_letter" for row in rows)
        self.handover.put(segment.name, signals_from_rows(rows))

    def _watch_thread(self) -> None:
        """Detection needs the state database: wait for it, but hold up nothing else."""
        while not self._watch_stop.is_set():
            try:
                self.state.create_schema()
                break
            except AuditfuseError as error:
                log.error("state database cannot be used yet", error=str(error))
                self._watch_stop.wait(RETRY_FIRST_S)
        self.watch.run(self.handover.arrived, self._watch_stop)

    def _new_switch(self) -> KillSwitch:
        control = ControlLog(self.store, writer_id=self.writer_id, now_ms=self._now_ms)
        return KillSwitch(
            self.config.killswitch,
            append=control.append,
            read_sealed=control.read_sealed,
            redact=self.reasons,
            approvals=self.approvals,
            stands_for=AliasMatcher(self.config.redaction, self.keys).stands_for,
            now_ms=self._now_ms,
        )

    def _new_approvals(self) -> SealedApprovals:
        stands_for = AliasMatcher(self.config.redaction, self.keys).stands_for
        return SealedApprovals(self.config.killswitch.approvals, stands_for=stands_for, now_ms=self._now_ms)

    def _new_deliverer(self) -> Deliverer:
        append_log = AppendLog(self.store, FINDINGS, writer_id=self.writer_id, now_ms=self._now_ms)

        def append(rows: Sequence[RowOfFindings]) -> None:
            append_log.append([AppendRow.of(row) for row in rows])

        return Deliverer(
            self.state,
            append,
            ApprisePager(self.config.respond),
            self.config.respond,
            self._now_ms,
            switch_state=self._switch_words,
            companion=self.companion,
        )

    def _tell(self) -> None:
        self.deliverer.wake()
        self.companion.begin()

    def _switch_words(self, environment: str, agent_id: str) -> str:
        context = Context(agents=frozenset({agent_id.casefold()}), environment=environment.casefold())
        return join(self.switch.state.matching(context))

    def _new_watch(self) -> Watch:
        return Watch(
            tail=Tail(self.store, self.handover),
            detect=self.config.detect,
            state=self.state,
            switch=self.switch,
            snapshots=self.store.cache_dir / "snapshots",
            on_found=self._tell,
            now_ms=self._now_ms,
            control=ControlRows(self.store),
            approvals=self.approvals,
            notices=self.notices,
        )


def build_preparation(config: Config, sources: tuple[SourceConfig, ...]) -> Preparation:
    """The preparation of one process of the pool."""
    return Preparation(sources, config.tools, config.redaction, Keys(config.keys.path))

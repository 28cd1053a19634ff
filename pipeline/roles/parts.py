"""What several roles of one process share. Each part is made when the first role asks for it: a process
needs no access to what its roles do not use."""

import threading
from collections.abc import Sequence
from functools import cached_property

import structlog

from pipeline.audit.readers.trail import ReadersTrail
from pipeline.audit.store import open_store
from pipeline.audit.writer import new_writer_id
from pipeline.clock import NowMs
from pipeline.config import Config
from pipeline.decode.sources import SourceConfig
from pipeline.errors import AuditfuseError, ConfigError
from pipeline.keys import Keys
from pipeline.killswitch.approvals import SealedApprovals
from pipeline.killswitch.control_log import ControlLog
from pipeline.killswitch.notices import Notices
from pipeline.killswitch.switch import KillSwitch
from pipeline.redact.alias import AliasMatcher
from pipeline.redact.reasons import ReasonRedactor
from pipeline.respond.companion import Companion
from pipeline.respond.state import StateDatabase
from pipeline.roles.layout import require_layout
from pipeline.roles.role import ALL_ROLES, RoleName
from pipeline.roles.supervise import RETRY_FIRST_S
from pipeline.switch_notices import NoticeSender
from pipeline.web.mount import new_companion

log = structlog.get_logger()


class Parts:
    """The parts of one process."""

    def __init__(
        self, config: Config, sources: Sequence[SourceConfig], roles: frozenset[RoleName], now_ms: NowMs
    ) -> None:
        self.config = config
        self.sources = sources
        self.roles = roles
        self.now_ms = now_ms
        self.writer_id = new_writer_id()
        self.store = open_store(config.store)
        self.keys = Keys(config.keys.path)
        self.leads_responding = False
        """Whether this process is the one that responds."""
        self.reshards = False
        """Whether a number of shards other than the recorded one may be taken over from."""
        self._schema = threading.Lock()
        self._has_schema = False

    @property
    def shards(self) -> int | None:
        """How many shards detection is shared out to; None: one process detects for all agents."""
        return self.config.signals.partitions if self.config.signals.topic is not None else None

    @property
    def is_alone(self) -> bool:
        """Whether no other process is meant to work on this store."""
        return self.roles == ALL_ROLES and self.shards is None

    @cached_property
    def readers(self) -> ReadersTrail | None:
        """The copy for readers, where one is configured."""
        return ReadersTrail.of(self.store, self.config.readers, self.config.store)

    @cached_property
    def state(self) -> StateDatabase:
        """The state database. Opening it needs nobody to answer."""
        return StateDatabase(self.config.state, self.config.respond)

    @cached_property
    def reasons(self) -> ReasonRedactor:
        """Redacts what people write."""
        return ReasonRedactor(self.config.redaction, self.keys)

    @cached_property
    def approvals(self) -> SealedApprovals:
        """The approvals that open mode `approval`."""
        return SealedApprovals(
            self.config.killswitch.approvals, stands_for=self._alias.stands_for, now_ms=self.now_ms
        )

    @cached_property
    def switch(self) -> KillSwitch:
        """The kill switch of this host, on its own journal."""
        control = ControlLog(self.store, writer_id=self.writer_id, now_ms=self.now_ms)
        return KillSwitch(
            self.config.killswitch,
            append=control.append,
            read_sealed=control.read_sealed,
            redact=self.reasons,
            approvals=self.approvals,
            stands_for=self._alias.stands_for,
            now_ms=self.now_ms,
        )

    @cached_property
    def companion(self) -> Companion:
        """What goes along with pages."""
        return new_companion(self.config, self.store, self.now_ms)

    @cached_property
    def notices(self) -> Notices:
        """Tells people of what was done at the switch; what others did there, where this process responds."""
        sender = NoticeSender(self.state, self.config.respond, self.now_ms)
        return Notices(self.switch, sender, self.now_ms, follows=lambda: self.leads_responding)

    @property
    def has_state(self) -> bool:
        """Whether any role of this process uses the state database."""
        return not self.roles <= frozenset[RoleName]({"ingest"})

    def await_state(self, stop: threading.Event) -> bool:
        """Wait until the state database can be used; False where `stop` came first. Blocking. Raises
        ConfigError where detection was shared out otherwise."""
        while not stop.is_set():
            with self._schema:
                if self._has_schema:
                    return True
                try:
                    self.state.create_schema(upgrade=True)
                    require_layout(self.state, self.shards, take_over=self.reshards)
                    self._has_schema = True
                    return True
                except ConfigError:
                    raise
                except AuditfuseError as error:
                    log.error("state database cannot be used yet", error=str(error))
            stop.wait(RETRY_FIRST_S)
        return False

    @cached_property
    def _alias(self) -> AliasMatcher:
        return AliasMatcher(self.config.redaction, self.keys)

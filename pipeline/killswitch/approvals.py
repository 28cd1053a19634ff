"""The approvals that open mode `approval`: those that bound sources have sealed, each for one use.

An approval opens for the agent, tool and environment that its event names, from its grant until it expires.
It is used up by the first sealed action that names it, and at the latest `use_s` after the first answer that
it opened: until then a retry gets the same answer. What is not known here opens nothing: to forget is safe.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from pipeline.clock import NowMs, system_now_ms
from pipeline.killswitch.approvals_config import ApprovalsConfig

if TYPE_CHECKING:
    import polars as pl

FORMAT = 1
GRANTED = ("granted", "approved")
ENDED = ("denied", "rejected", "revoked", "expired", "cancelled", "canceled")
MAX_REDACTED = 64
"""Approvals of one agent whose ids are stored redacted that an id is compared with, the newest first."""

Key = tuple[str, str, str]
"""(environment, agent, approval id) as sealed; the first two casefolded."""
Ends = Mapping[tuple[str, int], int]
StandsFor = Callable[[str, str], bool]


class Grant(msgspec.Struct, array_like=True):
    """An approval. `opened_s`: when it first opened a flag, by this process's monotonic clock."""

    tool: str
    granted_ms: int
    is_used: bool = False
    opened_s: float | None = None


class _Snapshot(msgspec.Struct, array_like=True):
    format: int
    ends: list[tuple[str, int, int]]
    grants: list[tuple[Key, Grant]]
    early: list[Key]


class SealedApprovals:
    """Thread-safe: the watch tells it what is sealed, the server asks it. Bounded by `config.max_known`."""

    def __init__(
        self,
        config: ApprovalsConfig,
        *,
        stands_for: StandsFor | None = None,
        now_ms: NowMs = system_now_ms,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`stands_for(redacted, id)`: whether an id is sealed as that; by default none is."""
        self._config = config
        self._stands_for = stands_for
        self._now_ms = now_ms
        self._now_s = now_s
        self._lock = threading.Lock()
        self._grants: OrderedDict[Key, Grant] = OrderedDict()
        self._early: OrderedDict[Key, None] = OrderedDict()
        """Uses whose approval is not known: the two may be sealed in either order."""
        self._redacted: dict[tuple[str, str], OrderedDict[Key, None]] = {}

    def usable(
        self, approval_id: str, agents: frozenset[str], tool: str, environment: str | None = None
    ) -> bool:
        """Whether it opens now. The first yes begins its use. `agents`, `tool`, `environment`: casefolded."""
        with self._lock:
            for agent in agents:
                for key in self._named(environment or "", agent, approval_id):
                    grant = self._grants.get(key)
                    if grant is not None and grant.tool == tool and self._open(grant):
                        return True
        return False

    def observe(self, signals: "pl.DataFrame") -> None:
        """Take in sealed rows, in the order of each partition. Told twice, it knows the same."""
        import polars as pl

        acted = (pl.col("action_kind") != "none") & ~pl.col("outcome").is_in(["denied", "throttled"])
        event_ms = (pl.col("start_time_unix_nano") + pl.col("duration_ns")) // 1_000_000
        rows = signals.filter(pl.col("bound") & pl.col("approval_id").is_not_null()).select(
            pl.col("environment").fill_null(""),
            pl.col("agent_id"),
            pl.col("approval_id"),
            pl.col("action").fill_null(""),
            pl.min_horizontal(event_ms, "broker_time_ms").alias("at_ms"),
            (pl.col("approval_source") == "gateway").fill_null(value=False).alias("trusted"),
            pl.col("approval_status").fill_null(""),
            acted.fill_null(value=False).alias("acted"),
        )
        with self._lock:
            for environment, agent, approval_id, tool, at_ms, trusted, status, is_use in rows.iter_rows():
                key = (environment.casefold(), agent.casefold(), approval_id)
                said = status.casefold() if trusted else ""
                if said in GRANTED and tool:
                    self._grant(key, tool.casefold(), at_ms)
                if is_use or said in ENDED:
                    self._use(key)
            self._forget()

    def snapshot(self, ends: Ends) -> bytes:
        """What a restart goes on from, with the sealed ends that it stands at."""
        with self._lock:
            marks = [(topic_id, partition, end) for (topic_id, partition), end in sorted(ends.items())]
            grants = [(key, _closed(grant)) for key, grant in self._grants.items()]
            return msgspec.msgpack.encode(_Snapshot(FORMAT, marks, grants, list(self._early)))

    def restore(self, content: bytes, *, at_least: Ends) -> Ends | None:
        """Begin with a snapshot; returns the ends that it stands at, to be told of what follows. None where
        it is damaged, or stands before `at_least`: what is between would not be told."""
        try:
            snapshot = msgspec.msgpack.decode(content, type=_Snapshot)
        except (msgspec.MsgspecError, ValueError):
            return None
        ends = {(topic_id, partition): end for topic_id, partition, end in snapshot.ends}
        if snapshot.format != FORMAT or any(ends.get(key, 0) < end for key, end in at_least.items()):
            return None
        with self._lock:
            for key, grant in snapshot.grants:
                if key not in self._grants:  # what this process knows itself is newer
                    self._keep(key, grant)
            self._early.update(dict.fromkeys(snapshot.early))
            self._forget()
        return ends

    def __len__(self) -> int:
        return len(self._grants)

    def _named(self, environment: str, agent: str, approval_id: str) -> list[Key]:
        """The keys that an id may have been sealed under."""
        exact = (environment, agent, approval_id)
        if exact in self._grants or self._stands_for is None:
            return [exact]
        redacted = self._redacted.get((environment, agent), ())
        return [key for key in reversed(redacted) if self._stands_for(key[2], approval_id)]

    def _open(self, grant: Grant) -> bool:
        age_ms = self._now_ms() - grant.granted_ms
        if grant.is_used or not -self._config.skew_s * 1000 <= age_ms <= self._config.valid_s * 1000:
            return False
        now_s = self._now_s()
        if grant.opened_s is None:
            grant.opened_s = now_s
        return now_s - grant.opened_s <= self._config.use_s

    def _grant(self, key: Key, tool: str, at_ms: int) -> None:
        """One that is known stays as it is: granted again, it is not for another use."""
        if key not in self._grants:
            self._keep(key, Grant(tool, at_ms, is_used=key in self._early))
            self._early.pop(key, None)

    def _use(self, key: Key) -> None:
        grant = self._grants.get(key)
        if grant is not None:
            grant.is_used = True
        else:
            self._early[key] = None

    def _keep(self, key: Key, grant: Grant) -> None:
        self._grants[key] = grant
        if "<" in key[2]:
            redacted = self._redacted.setdefault(key[:2], OrderedDict())
            redacted[key] = None
            if len(redacted) > MAX_REDACTED:
                redacted.popitem(last=False)

    def _forget(self) -> None:
        """What has expired, and the oldest beyond the bound."""
        expired_ms = self._now_ms() - int(self._config.valid_s * 1000)
        while self._grants:
            key, grant = next(iter(self._grants.items()))
            if grant.granted_ms >= expired_ms and len(self._grants) <= self._config.max_known:
                break
            del self._grants[key]
            redacted = self._redacted.get(key[:2])
            if redacted is not None:
                redacted.pop(key, None)
                if not redacted:
                    del self._redacted[key[:2]]
        while len(self._early) > self._config.max_known:
            self._early.popitem(last=False)


def _closed(grant: Grant) -> Grant:
    """As another process takes it over, whose clock is another: what has been opened is used up there."""
    return Grant(grant.tool, grant.granted_ms, is_used=grant.is_used or grant.opened_s is not None)

"""Other control servers: every trip is pushed to each of them at once, and each tells what its clients do.

One request does both, every EXCHANGE_S and at once after a change. A trip that a peer knows, in force or
lifted, is not taken up again, so that trips go round no ring. Only trips travel: a peer can make this host
stricter, never looser.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
import structlog

from pipeline import metrics
from pipeline.errors import ConfigError
from pipeline.killswitch.config import KillSwitchConfig, PeerConfig
from pipeline.killswitch.connection import connect
from pipeline.killswitch.health import Loop, fault_of
from pipeline.killswitch.leases import Counts
from schemas.command import Command

PATH = "/v1/peers/exchange"
EXCHANGE_S = 2.0
TIMEOUT_S = 2.0
HEARD_S = 10.0
"""Who has not answered for so long is unheard: its clients are unknown."""
MAX_TRIPS = 16
"""In one request, which is bounded as every body is."""
MAX_ANSWER_BYTES = 4_194_304
STOP_S = 1.0

log = structlog.get_logger()


class PeerTrip(msgspec.Struct, frozen=True, kw_only=True):
    """A trip that the sender serves. `held`: its reason is not fit to be kept yet, it comes again."""

    trip: Command
    held: bool = False


class PeerMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What one server tells another: the trips that the other may not know."""

    host: str
    trips: list[PeerTrip]


class PeerAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the other serves after it, and what its own clients do."""

    host: str
    digest: str
    vouches: bool
    counts: dict[str, Counts]
    """By the id of each trip in force there."""


class PeerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One peer as this host sees it."""

    peer: str
    heard: bool
    age_s: float | None = None
    """Since its last answer; None: it has never answered."""
    fault: str | None = None
    same_trips: bool = False
    """Whether it served the same trips when it last answered."""


class Elsewhere(NamedTuple):
    """What all peers say together."""

    answers: tuple[PeerAnswer, ...] = ()
    unheard: tuple[str, ...] = ()
    named: Mapping[str, str] = {}
    """Host → the peer's name."""

    def counts(self, trip_id: str) -> Counts:
        """The clients of all peers that are heard."""
        found = Counts()
        for answer in self.answers:
            found = found.plus(answer.counts.get(trip_id, Counts()))
        return found

    def silent(self, trip_id: str) -> list[str]:
        """Whose clients nobody can speak for, as far as this trip goes."""
        found = list(self.unheard)
        for answer in self.answers:
            name = self.named.get(answer.host, answer.host)
            if not answer.vouches:
                found.append(f"clients from before the start of {name}")
            elif trip_id not in answer.counts:
                found.append(f"{name}, which does not serve this trip yet")
        return found


Outgoing = Callable[[], Sequence[PeerTrip]]
"""The trips that this host serves and that others must."""


class Peers:
    """A thread for each peer, so that one that hangs delays no other."""

    def __init__(
        self, config: KillSwitchConfig, host: str, outgoing: Outgoing, now_s: Callable[[], float]
    ) -> None:
        self._config = config
        self._peers = [_Peer(config, peer, host, outgoing, now_s) for peer in config.peers]

    def start(self) -> None:
        """Start the threads. Raises ConfigError where a peer's token is not in the environment."""
        for peer in self._peers:
            peer.start()

    def stop(self) -> None:
        """Stop the threads."""
        for peer in self._peers:
            peer.stop()

    def wake(self) -> None:
        """Something has changed: tell all of them now."""
        for peer in self._peers:
            peer.loop.wake()

    def elsewhere(self) -> Elsewhere:
        """What the peers say."""
        heard = [(peer, peer.answer) for peer in self._peers if peer.is_heard and peer.answer is not None]
        metrics.peers_unheard.set(len(self._peers) - len(heard))
        return Elsewhere(
            tuple(answer for _, answer in heard),
            tuple(peer.name for peer in self._peers if not peer.is_heard),
            {answer.host: peer.name for peer, answer in heard},
        )

    def status(self, digest: str) -> list[PeerStatus]:
        """Each peer as this host sees it."""
        return [peer.status(digest) for peer in self._peers]


class _Peer:
    """One peer: what it said last, and the thread that asks it."""

    def __init__(
        self,
        config: KillSwitchConfig,
        peer: PeerConfig,
        host: str,
        outgoing: Outgoing,
        now_s: Callable[[], float],
    ) -> None:
        url = urlsplit(peer.url)
        self._tls = url.scheme == "https"
        self._address = (url.hostname or "", url.port or (443 if self._tls else 80))
        self.name = f"{self._address[0]}:{self._address[1]}"
        self._config = config
        self._token_env = peer.token_env
        self._token = ""
        self._host = host
        self._outgoing = outgoing
        self._now_s = now_s
        self._lock = threading.Lock()
        self._told: set[tuple[str, bool]] = set()
        self._answered_s: float | None = None
        self._fault: str | None = None
        self.answer: PeerAnswer | None = None
        self.loop = Loop(f"killswitch-peer {self.name}", self._step)

    def start(self) -> None:
        """Begin to ask it."""
        self._token = os.environ.get(self._token_env, "").strip()
        if not self._token:
            raise ConfigError(
                f"killswitch.peers: the environment variable {self._token_env} holds no token for "
                f"{self.name}; make one there (auditfuse token create … --role peer)"
            )
        self.loop.start()

    def stop(self) -> None:
        """Stop asking it."""
        self.loop.stop(STOP_S)

    @property
    def is_heard(self) -> bool:
        """Whether it answered lately."""
        return self._answered_s is not None and self._now_s() - self._answered_s < HEARD_S

    def status(self, digest: str) -> PeerStatus:
        """It as this host sees it."""
        answered_s, answer = self._answered_s, self.answer
        return PeerStatus(
            peer=self.name,
            heard=self.is_heard,
            age_s=None if answered_s is None else round(self._now_s() - answered_s, 3),
            fault=self._fault,
            same_trips=answer is not None and answer.digest == digest,
        )

    def _step(self) -> float:
        """Tell it what it may not know, and hear what its clients do."""
        outgoing = self._outgoing()
        self._told &= {(one.trip.id, one.held) for one in outgoing}
        known = self.answer.counts.keys() if self.answer is not None else ()
        news = [
            one
            for one in outgoing
            if one.trip.id not in known or (not one.held and (one.trip.id, True) in self._told)
        ]
        try:
            self.answer = self._exchange(news[:MAX_TRIPS])
        except (OSError, HTTPException, msgspec.MsgspecError, ValueError) as error:
            fault = str(error) if isinstance(error, _RefusedError) else fault_of(error)
            if fault != self._fault:
                log.error("kill switch: a peer does not answer", peer=self.name, fault=fault)
            self._fault = fault
            return EXCHANGE_S
        if self._fault is not None:
            log.warning("kill switch: a peer answers again", peer=self.name)
        self._fault, self._answered_s = None, self._now_s()
        for one in news[:MAX_TRIPS]:
            self._told.discard((one.trip.id, True))
            self._told.add((one.trip.id, one.held))
        return 0.0 if len(news) > MAX_TRIPS else EXCHANGE_S

    def _exchange(self, trips: list[PeerTrip]) -> PeerAnswer:
        connection = connect(self._config, *self._address, TIMEOUT_S, tls=self._tls)
        headers = {"authorization": f"Bearer {self._token}", "content-type": "application/json"}
        message = PeerMessage(host=self._host, trips=trips)
        try:
            connection.request("POST", PATH, msgspec.json.encode(message), headers)
            response = connection.getresponse()
            body = response.read(MAX_ANSWER_BYTES)
        finally:
            connection.close()
        if response.status != 200:
            raise _RefusedError(f"it answers {response.status}")
        return msgspec.json.decode(body, type=PeerAnswer)


class _RefusedError(ValueError):
    """A peer that answers, but not with what was asked."""

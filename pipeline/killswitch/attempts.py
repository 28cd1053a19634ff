"""Failed attempts to authenticate, by network: counted, logged, and answered later and later. Pure.

Nobody guesses 256 random bits; this is so that trying is seen and costs others nothing. A good token is
never delayed, whoever else fails from the same address, and flags and leases never are.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

import msgspec

FREE = 5
"""Failures of one network before answers are delayed."""
FIRST_DELAY_S = 0.1
MAX_DELAY_S = 5.0
MAX_WAITING_S = 15.0
"""Where the next answer would be later than this, it is refused at once."""
FORGOTTEN_S = 900.0
MAX_NETWORKS = 4096


class AttemptsStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Failed attempts since the server's start."""

    failed: int = 0
    last_ms: int | None = None
    networks: int = 0
    """How many networks have failed within the last quarter of an hour."""


@dataclass
class _Network:
    failed: int = 0
    last_s: float = 0.0
    free_at_s: float = 0.0


class FailedAttempts:
    """The failures of one server; used in its event loop alone. Times are of a monotonic clock."""

    def __init__(self) -> None:
        self._networks: OrderedDict[str, _Network] = OrderedDict()
        self._failed = 0
        self._last_ms: int | None = None

    def failed(self, network: str, now_s: float, at_ms: int) -> int:
        """Count a failure; returns how many this network has made in a row."""
        self._forget(now_s)
        one = self._networks.setdefault(network, _Network())
        self._networks.move_to_end(network)
        one.failed += 1
        one.last_s = now_s
        self._failed += 1
        self._last_ms = at_ms
        return one.failed

    def delay_s(self, network: str, now_s: float) -> float | None:
        """How long the answer to a failure waits; None where too many of this network wait already.

        Answers to one network come one after the other, so that many at once are no faster.
        """
        one = self._networks.get(network)
        if one is None or one.failed <= FREE:
            return 0.0
        step_s = min(FIRST_DELAY_S * 2 ** min(one.failed - FREE - 1, 16), MAX_DELAY_S)
        answer_at_s = max(now_s, one.free_at_s) + step_s
        if answer_at_s - now_s > MAX_WAITING_S:
            return None
        one.free_at_s = answer_at_s
        return answer_at_s - now_s

    def status(self, now_s: float) -> AttemptsStatus:
        """What a person may want to know of them."""
        self._forget(now_s)
        return AttemptsStatus(failed=self._failed, last_ms=self._last_ms, networks=len(self._networks))

    def _forget(self, now_s: float) -> None:
        while self._networks:
            network, oldest = next(iter(self._networks.items()))
            if now_s - oldest.last_s < FORGOTTEN_S and len(self._networks) < MAX_NETWORKS:
                return
            del self._networks[network]


def network_of(address: str | None) -> str:
    """The network of an address, /24 or /48: near enough to find it, and nobody's address."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    return str(ipaddress.ip_network(f"{ip}/{24 if ip.version == 4 else 48}", strict=False))

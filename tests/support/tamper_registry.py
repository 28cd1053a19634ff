"""Every known attack on a store, one function each, named after it. What each turns is in the golden file.

`plain` attacks change what they change and nothing else. `skilled` ones recompute everything that can be
recomputed without the signing key, and sign with a key of their own under the log's name. `keyholder` ones
have the real key, or an older copy that it signed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from support.attacks import ATTACKS, Attack
from support.forger import Forger
from support.stage import LOG_NAME
from support.trail import Trail

from pipeline.audit.checkpoint.note import SigningKey

Kind = Literal["plain", "skilled", "keyholder"]
Act = Callable[[Trail], None]
STOLEN_NAME = SigningKey(LOG_NAME, b"\x01" * 32)
"""Another key under the log's name."""


class Case(NamedTuple):
    """A known attack."""

    name: str
    kind: Kind
    act: Act


def _on_trail(attack: Attack) -> Act:
    return lambda trail: attack.do(trail.root)


_OF_ENTRIES = {
    "edited entry",
    "edited time of an entry",
    "entry that is not JSON",
    "dropped entry",
    "renumbered entries",
    "dropped claim",
}
"""Their like is below: here the entries that they change are in bundles too."""
CASES: list[Case] = [
    Case(attack.name, "plain", _on_trail(attack)) for attack in ATTACKS if attack.name not in _OF_ENTRIES
]


def plain(act: Act) -> Act:
    """Register an attack that changes one thing."""
    CASES.append(Case(_named(act), "plain", act))
    return act


def keyholder(act: Act) -> Act:
    """Register an attack by one who has the key, or copies that it signed."""
    CASES.append(Case(_named(act), "keyholder", act))
    return act


def skilled(act: Callable[[Forger], None]) -> Callable[[Forger], None]:
    """Register an attack after which all but the signatures fits again."""

    def forge(trail: Trail) -> None:
        forger = Forger(trail.root)
        act(forger)
        forger.write(STOLEN_NAME)

    CASES.append(Case(_named(act), "skilled", forge))
    return act


def _named(act: Callable[..., None]) -> str:
    return act.__name__.replace("_", " ")

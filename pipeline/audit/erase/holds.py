"""Placing and lifting legal holds, as rows of `_control`."""

from __future__ import annotations

import secrets

from pipeline.audit.erase import orders
from pipeline.audit.erase.kept import in_force
from pipeline.audit.erase.orders import ControlRows
from pipeline.audit.store import Store
from pipeline.clock import NowMs
from pipeline.errors import ConfigError
from schemas.erasure import Hold, Scope


def place_hold(store: Store, scope: Scope, *, by: str, reason: str, now_ms: NowMs) -> Hold:
    """Keep what matches `scope` from erasure and retention; in force once this returns.

    Raises ConfigError for a hold of everything, which would end retention unseen.
    """
    if scope == Scope():
        raise ConfigError("a hold needs a --where or a --value-file: it would hold the whole store for ever")
    hold = secrets.token_hex(8)
    row = Hold(
        id=f"{hold}:place",
        hold=hold,
        phase="place",
        at_ms=now_ms(),
        by=orders.without_pseudonyms(by),
        reason=orders.without_pseudonyms(reason),
        scope=scope,
    )
    orders.append(store, row, now_ms)
    return row


def lift_hold(store: Store, hold: str, *, by: str, reason: str, now_ms: NowMs) -> Hold:
    """End a hold. Raises ConfigError where none of that id is in force."""
    if hold not in {placed.hold for placed in holds_in_force(store)}:
        raise ConfigError(f"no hold {hold} is in force; see: auditfuse hold list")
    row = Hold(
        id=f"{hold}:lift",
        hold=hold,
        phase="lift",
        at_ms=now_ms(),
        by=orders.without_pseudonyms(by),
        reason=orders.without_pseudonyms(reason),
    )
    orders.append(store, row, now_ms)
    return row


def holds_in_force(store: Store) -> list[Hold]:
    """The rows that placed the holds in force, in their order."""
    rows = ControlRows(store)
    rows.refresh()
    return list(in_force(rows.state.holds.values()).values())

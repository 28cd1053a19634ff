"""Silences as people place, list and end them. Each function is one transaction of the state database."""

import secrets

from sqlalchemy import Connection, insert, select, update

from pipeline.errors import ConfigError, StoreError
from pipeline.respond import tables
from pipeline.respond.config import RespondConfig
from pipeline.respond.holds import Silence, active_silences, hold_pending, release
from pipeline.respond.state import StateDatabase
from pipeline.respond.store_change import append_rows
from schemas.finding import SilenceRow

MS_PER_HOUR = 3_600_000
SHOWN = 1_000


def place_silence(
    state: StateDatabase,
    config: RespondConfig,
    *,
    agent: str = "*",
    detector: str = "*",
    environment: str = "*",
    until_ms: int,
    by: str,
    reason: str,
    holds_trips: bool = False,
    now_ms: int,
) -> Silence:
    """Hold the pages of the incidents that these globs cover, those that wait already included.

    Raises ConfigError where it covers everything, is over already, is longer than silence_max_hours or
    gives no reason.
    """
    _check(agent, detector, environment, reason)
    if until_ms <= now_ms:
        raise ConfigError("the silence's end is in the past; give --hours, or an --until to come")
    if until_ms - now_ms > config.silence_max_hours * MS_PER_HOUR:
        raise ConfigError(
            f"a silence may last {config.silence_max_hours:g} hours (respond.silence_max_hours); "
            "end it sooner, or plan a maintenance window in the configuration"
        )
    silence = Silence(
        silence_id=f"sil_{secrets.token_hex(6)}",
        agent=agent,
        detector=detector,
        environment=environment,
        until_ms=until_ms,
        holds_trips=holds_trips,
        by=by,
        reason=reason,
        created_at_ms=now_ms,
    )

    def transaction(connection: Connection) -> None:
        fields = {name: getattr(silence, name) for name in silence.__struct_fields__}
        connection.execute(insert(tables.silences), [fields])
        append_rows(connection, [_row(silence, "placed", by, reason, now_ms)])
        hold_pending(connection, silence)

    state.write(transaction)
    return silence


def end_silence(
    state: StateDatabase, config: RespondConfig, silence_id: str, *, by: str, reason: str, now_ms: int
) -> Silence:
    """End a silence before its time: what is open is paged. Raises StoreError where there is none to end."""
    table = tables.silences

    def transaction(connection: Connection) -> Silence:
        known = {silence.silence_id: silence for silence in active_silences(connection, now_ms)}
        if silence_id not in known:
            raise StoreError(f"there is no silence {silence_id} to end; auditfuse silence list names them")
        ended = {"ended_at_ms": now_ms, "ended_by": by}
        connection.execute(update(table).where(table.c.silence_id == silence_id).values(**ended))
        append_rows(connection, [_row(known[silence_id], "ended", by, reason, now_ms)])
        release(connection, config, now_ms)
        return known[silence_id]

    return state.write(transaction)


def list_silences(state: StateDatabase, now_ms: int, *, everything: bool = False) -> list[Silence]:
    """The silences that hold pages now; with `everything` those that are over too, the latest first."""

    def look(connection: Connection) -> list[Silence]:
        if not everything:
            return active_silences(connection, now_ms)
        table = tables.silences
        rows = connection.execute(select(table).order_by(table.c.created_at_ms.desc()).limit(SHOWN))
        return [Silence(**row) for row in rows.mappings()]

    return state.read(look)


def _check(agent: str, detector: str, environment: str, reason: str) -> None:
    if (agent, detector, environment) == ("*", "*", "*"):
        raise ConfigError("say what to silence: --agent, --detector or --environment; nothing silences all")
    if not all((agent, detector, environment)):
        raise ConfigError("an empty name covers nothing; leave the option out to cover everything")
    if not reason.strip():
        raise ConfigError("a silence needs a reason, for those who wonder why nobody was paged")


def _row(silence: Silence, phase: str, by: str, reason: str, now_ms: int) -> SilenceRow:
    return SilenceRow(
        id=f"{silence.silence_id}/{phase}",
        silence_id=silence.silence_id,
        phase="placed" if phase == "placed" else "ended",
        environment=silence.environment,
        agent_id=silence.agent,
        detector=silence.detector,
        at_ms=now_ms,
        until_ms=silence.until_ms,
        holds_trips=silence.holds_trips,
        by=by,
        reason=reason,
    )

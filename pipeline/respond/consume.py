"""The transaction that consumes sealed rows: ends move, findings, incidents and outbox rows are written.

The functions here take part in a transaction that the caller began; none of them commits.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, and_, case, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.errors import StoreError
from pipeline.respond import incidents as grouping
from pipeline.respond import tables
from pipeline.respond.batch import NO_INCIDENT, Batch, FoundFinding, was_tripped
from pipeline.respond.config import RespondConfig
from pipeline.respond.incidents import Episode
from pipeline.respond.shared_causes import absorb, cause_of, causes_first, common_silence, known_causes
from pipeline.respond.store_change import append_rows, columns_of, insert_rows, store_change
from pipeline.respond.telling import tell
from schemas.finding import Finding, FindingRow, WithdrawalRow

Ends = Mapping[tuple[str, int], tuple[int, int]]
"""(topic id, partition) → (old sealed end, new sealed end)."""
_CHUNK = 500
"""Values in one IN list: both databases take more, but not any number."""


class ConsumedElsewhere(StoreError):
    """Another process has consumed these rows. Nothing was changed: load the ends again, or stop."""


class Consumed(msgspec.Struct, frozen=True, kw_only=True):
    """What one consumption did."""

    findings: list[FindingRow]
    """The findings that were not known before."""
    paged: list[str]
    """Incidents that were opened, reopened or raised."""
    messages: int
    """Rows put into the outbox of pages, one a page and target."""


def advance(connection: Connection, ends: Ends, shard: str = tables.ALL) -> None:
    """Move a shard's consumed end of every partition. Raises ConsumedElsewhere where the old one is not
    stored."""
    table = tables.consumed
    for (topic_id, partition), (old, new) in sorted(ends.items()):
        if new < old:
            raise ValueError(f"the sealed end of {topic_id}/{partition} goes back from {old} to {new}")
        place = {"shard": shard, "topic_id": topic_id, "partition": partition}
        here = and_(*(table.c[name] == value for name, value in place.items()))
        moved = update(table).where(here & (table.c.sealed_end == old)).values(sealed_end=new)
        if connection.execute(moved).rowcount == 1:
            continue
        first = _insert(connection, table).values(**place, sealed_end=new).on_conflict_do_nothing()
        if connection.scalar(first.returning(table.c.sealed_end)) is None:
            raise ConsumedElsewhere(
                f"rows of {topic_id}/{partition} from offset {old} on were consumed by another process; "
                "only one process may detect for each agent"
            )


def _insert(connection: Connection, table: Table) -> "postgresql.Insert | sqlite.Insert":
    is_postgresql = connection.dialect.name == "postgresql"
    return postgresql.insert(table) if is_postgresql else sqlite.insert(table)


def take(
    connection: Connection,
    found: Sequence[FoundFinding],
    now_ms: int,
    trips: Mapping[str, str],
    config: RespondConfig,
) -> Consumed:
    """Store the findings that are new, what they do to incidents, and what has to be told of it."""
    fresh = _not_known(connection, [item for item in found if item.withdrawn is None])
    causes = known_causes(connection, fresh.values())
    common = common_silence(connection, fresh.values(), causes, now_ms, config)
    causes += [cause_of(finding) for finding in common]
    keys = {item.finding.incident_key for item in fresh.values()} | {one.incident_key for one in causes}
    stored = _latest_episodes(connection, keys)
    numbers = _last_numbers(connection, keys - stored.keys())
    batch = Batch(stored, trips, now_ms, config, numbers)
    for finding in common:
        batch.open_common(finding)
    for item in causes_first(fresh.values()):
        cause = next((one for one in causes if one.explains(item.finding)), None)
        batch.fold(item, cause.incident_key if cause else item.finding.incident_key)
    _write_incidents(connection, batch, {episode.incident.incident_id for episode in stored.values()})
    records = [
        {"finding_id": row.id, "incident_id": row.incident_id, "found_at_ms": now_ms, "withdrawn": False}
        for row in batch.findings
    ]
    insert_rows(connection, tables.findings, records)
    append_rows(connection, batch.appends)
    messages = tell(connection, batch, now_ms, config)
    opened = [(one, batch.opened_by(one.incident_key)) for one in causes]
    absorb(connection, [(one, incident_id) for one, incident_id in opened if incident_id], now_ms, config)
    for item in found:
        if item.withdrawn is not None:
            _withdraw(connection, item.finding, item.withdrawn, now_ms, config)
    return Consumed(findings=batch.findings, paged=list(batch.paged), messages=messages)


def _not_known(connection: Connection, found: Sequence[FoundFinding]) -> dict[str, FoundFinding]:
    by_id = {item.finding.finding_id: item for item in reversed(found)}
    fresh = {item.finding.finding_id: by_id[item.finding.finding_id] for item in found}
    table = tables.findings
    for chunk in _chunks(fresh):
        known = connection.execute(select(table.c.finding_id).where(table.c.finding_id.in_(chunk)))
        for row in known.all():
            del fresh[row.finding_id]
    return fresh


def _latest_episodes(connection: Connection, keys: Iterable[str]) -> dict[str, Episode]:
    table = tables.incidents
    latest: dict[str, Episode] = {}
    for chunk in _chunks(sorted(keys)):
        query = (
            select(table.c.incident_key, table.c.episode)
            .where(table.c.incident_key.in_(chunk))
            .order_by(table.c.number)
            .with_for_update()
        )
        for row in connection.execute(query):
            latest[row.incident_key] = msgspec.json.decode(row.episode, type=Episode)
    return latest


def _last_numbers(connection: Connection, keys: Iterable[str]) -> dict[str, int]:
    """The last numbers of keys whose incidents are pruned."""
    table = tables.numbers
    last: dict[str, int] = {}
    for chunk in _chunks(sorted(keys)):
        rows = connection.execute(select(table).where(table.c.incident_key.in_(chunk)))
        last |= {row.incident_key: row.number for row in rows}
    return last


def _withdraw(
    connection: Connection, finding: Finding, reason: str, now_ms: int, config: RespondConfig
) -> None:
    """Take a stored finding back: its incident is resolved once none of its findings is left, after a
    hold-down where its detector says of itself that it is over: what it looks at may come and go."""
    table, finding_id = tables.findings, finding.finding_id
    known = connection.execute(select(table).where(table.c.finding_id == finding_id)).first()
    if known is None or known.withdrawn:
        return  # never stored, so that nobody knows of it; or taken back before
    incident_id = str(known.incident_id)
    row = WithdrawalRow(
        id=f"{finding_id}/withdrawn",
        finding_id=finding_id,
        incident_id=incident_id,
        environment=finding.environment,
        agent_id=finding.agent_id,
        at_ms=now_ms,
        reason=reason,
    )
    connection.execute(update(table).where(table.c.finding_id == finding_id).values(withdrawn=True))
    append_rows(connection, [row])
    standing = select(table.c.finding_id).where((table.c.incident_id == incident_id) & ~table.c.withdrawn)
    if incident_id == NO_INCIDENT or connection.execute(standing.limit(1)).first() is not None:
        return
    query = select(tables.incidents.c.episode).where(tables.incidents.c.incident_id == incident_id)
    episode = msgspec.json.decode(connection.execute(query.with_for_update()).scalar_one(), type=Episode)
    if episode.incident.detector in grouping.ENDED_BY_WITHDRAWAL and config.withdrawn_resolves_after_s:
        quiet = update(tables.incidents).where(tables.incidents.c.incident_id == incident_id)
        connection.execute(quiet.values(quiet_since_ms=now_ms))
        return
    said = f"withdrawn: {reason}"
    change = grouping.resolve(episode, grouping.BY_RECOVERY, said, now_ms)
    if change is not None:
        store_change(connection, change, config, grouping.BY_RECOVERY, said)


def _write_incidents(connection: Connection, batch: Batch, known: set[str]) -> None:
    table = tables.incidents
    new: list[dict[str, Any]] = []
    for incident_id, episode in batch.changed.items():
        columns = {**columns_of(episode), "quiet_since_ms": None}
        if incident_id in batch.paged and batch.paged[incident_id].kind != "raised":
            columns |= batch.unanswered()
        if incident_id in batch.leads:
            columns["lead"] = msgspec.json.encode(batch.leads[incident_id])
        if incident_id in batch.trips:
            reopened = incident_id in batch.paged and batch.paged[incident_id].kind == "reopened"
            columns["trip"] = _kept_trip(batch.trips[incident_id], reopened=reopened)
        if incident_id in known:
            connection.execute(update(table).where(table.c.incident_id == incident_id).values(**columns))
        else:
            new.append({**columns, "trip": batch.trips.get(incident_id)})
    insert_rows(connection, table, new)


def _kept_trip(done: str, *, reopened: bool) -> Any:
    """What a page says was done: that it was tripped outweighs that a later finding tripped no more."""
    if reopened or was_tripped(done):
        return done
    table = tables.incidents
    return case((table.c.trip.like("tripped%"), table.c.trip), else_=done)


def _chunks(values: Iterable[str]) -> Iterator[list[str]]:
    everything = list(values)
    for start in range(0, len(everything), _CHUNK):
        yield everything[start : start + _CHUNK]

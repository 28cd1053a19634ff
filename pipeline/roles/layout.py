"""How detection is shared out, as the state database has it: how far each shard has consumed."""

from sqlalchemy import Connection, delete, func, insert, select

from pipeline.errors import ConfigError
from pipeline.respond import tables
from pipeline.respond.state import StateDatabase
from pipeline.signals_topic.shard import all_shards


def require_layout(state: StateDatabase, shards: int | None, *, take_over: bool) -> None:
    """Make sure that detection was shared out to as many shards before, or was not, or `take_over` from it.

    Raises ConfigError where it was shared out otherwise, StateUnavailable.
    """
    mine = {tables.ALL} if shards is None else {shard.name for shard in all_shards(shards)}
    others = set(state.shards()) - mine
    if not others:
        return
    if not take_over:
        raise ConfigError(
            f"detection was {_said(others)}, and now it is to be {_said(mine)}. Stop every process that "
            "detects, then start one of them once with: auditfuse run --reshard"
        )
    state.write(lambda connection: _take_over(connection, mine))


def _said(names: set[str]) -> str:
    if names == {tables.ALL}:
        return "one process's (no signals.topic)"
    numbers = sorted({name.partition("/")[2] for name in names if "/" in name})
    return f"shared out to {' and '.join(numbers)} shards"


def _take_over(connection: Connection, mine: set[str]) -> None:
    """Every shard goes on where the slowest one before it stood. What others of them had found beyond that
    is found again, under the same ids, and so not told again."""
    table = tables.consumed
    others = table.c.shard.not_in(mine)
    slowest = select(table.c.topic_id, table.c.partition, func.min(table.c.sealed_end)).where(others)
    ends = connection.execute(slowest.group_by(table.c.topic_id, table.c.partition)).all()
    connection.execute(delete(table))
    rows = [
        {"shard": shard, "topic_id": topic_id, "partition": partition, "sealed_end": end}
        for shard in sorted(mine)
        for topic_id, partition, end in ends
    ]
    if rows:
        connection.execute(insert(table), rows)

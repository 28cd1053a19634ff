"""`auditfuse dead-letters`: messages that could not become events."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.commands.chosen_store import StoreOption, chosen_store

app = typer.Typer(help="Messages that could not become events.", no_args_is_help=True)
ConfigFile = Annotated[Path | None, typer.Option("--config", help="The configuration file.")]


@app.command("list")
def list_dead_letters(
    store: StoreOption = None,
    config: ConfigFile = None,
    by_reason: Annotated[bool, typer.Option("--by-reason", help="Count them by source and reason.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List dead letters, the newest first: where each is, why, and how long the message was.

    Their text is not in the store. The message is still in its topic, at the offset shown.

    Examples:

      auditfuse dead-letters list --limit 20

      auditfuse dead-letters list --by-reason --json
    """
    if by_reason:
        query = (
            "SELECT source, reason, count(*) AS dead_letters, max(broker_time) AS newest FROM dead_letters "
        )
        query += "GROUP BY ALL ORDER BY dead_letters DESC"
    else:
        query = (
            'SELECT topic_id, "partition", "offset", broker_time, source, reason, length FROM dead_letters '
        )
        query += 'ORDER BY broker_time DESC, topic_id, "partition", "offset" DESC'
    _run(store, config, f"{query} LIMIT {limit}", as_json)


@app.command("show")
def show_dead_letter(
    topic_id: Annotated[str, typer.Argument(help="The topic id, or the topic's name.")],
    partition: Annotated[int, typer.Argument(help="The partition.")],
    offset: Annotated[int, typer.Argument(help="The offset of the message.")],
    store: StoreOption = None,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show everything that is known of one dead letter.

    Example:

      auditfuse dead-letters show agent-events 0 4711
    """
    from pipeline.audit.views.base import quoted

    topic = quoted(topic_id)
    name = "regexp_replace(topic_id, '[.][0-9a-f]{32}$', '')"
    _run(
        store,
        config,
        f"FROM dead_letters WHERE {topic} IN (topic_id, {name}) "
        f'AND "partition" = {partition} AND "offset" = {offset}',
        as_json,
        missing=f"there is no dead letter at {topic_id}/{partition} offset {offset}",
    )


def _run(
    store: str | None, config: Path | None, query: str, as_json: bool, missing: str | None = None
) -> None:
    from pipeline.audit.query import open_catalog
    from pipeline.commands.sql import run_query
    from pipeline.errors import StoreError

    output: Literal["json", "table"] = "json" if as_json else "table"
    with open_catalog(chosen_store(store, config)) as catalog:
        if missing is not None and not any(result.fetchone() for result in catalog.run(query)):
            raise StoreError(missing)
        run_query(catalog, query, output)

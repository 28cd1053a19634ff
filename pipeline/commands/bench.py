"""`auditfuse bench`: what this machine can do, and the settings that fit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.bench.kept import Result


def bench(
    config: Annotated[
        Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0, help="How long to measure, once the models are loaded.")
    ] = 10.0,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Read from the configured cluster too, by a topic of its own.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure this machine with generated events: what each stage costs, which one bounds a process, and
    which settings fit.

    The result is kept in the cache directory; `auditfuse run` then says at its start which stage bounds it.
    Generated events are short: yours cost more as they are longer and repeat less.

    Examples:

      auditfuse bench

      auditfuse bench --kafka --json
    """
    import msgspec
    from rich.console import Console

    from pipeline.bench.kept import keep
    from pipeline.bench.run import run_bench
    from pipeline.config import load_config
    from pipeline.logs import LogConfig, configure_logs

    loaded = load_config(config)
    configure_logs(LogConfig(format=loaded.log.format, level="error"))
    with Console(stderr=True).status("") as status:  # on a terminal alone
        result = run_bench(loaded, seconds, kafka=kafka, tell=status.update)
    path = keep(loaded, result)
    if as_json:
        typer.echo(msgspec.json.encode(result).decode())
        return
    _print(result)
    typer.echo(f"Kept in {path}: auditfuse run says at its start which stage bounds it.")


def _print(result: "Result") -> None:
    costs, advice = result.costs, result.advice
    typer.echo(f"{result.machine}; {result.events:,} generated events of {costs.event_bytes:,.0f} bytes")
    typer.echo()
    typer.echo(f"{'stage':12}{'CPU µs an event':>18}{'events per CPU-s':>20}")
    for stage, us in costs.us.items():
        rate = f"{1e6 / us:,.0f}" if us else ""
        typer.echo(f"{stage:12}{us:>18,.1f}{rate:>20}")
    typer.echo(f"{'disk':12}{costs.sync_ms:>15,.1f} ms to publish a segment")
    typer.echo()
    found = advice.bound
    typer.echo(
        f"With these settings {found.where} bound one process at about {found.events_per_s:,.0f} events/s, "
        f"most of all by: {found.stage}."
    )
    typer.echo("[worker]")
    typer.echo(f"processes = {advice.processes}")
    typer.echo(f"queue_bytes = {advice.queue_bytes}")
    typer.echo("[store]")
    typer.echo(f"seal_interval_ms = {advice.seal_interval_ms}")

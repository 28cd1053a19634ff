"""`auditfuse killswitch`: what is tripped, trip, ask for and approve a reset, step down."""

import getpass
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from pipeline.commands.chosen_store import StoreOption
from pipeline.errors import ConfigError
from schemas.command import MODES, Command, Mode, Selector

if TYPE_CHECKING:
    from pipeline.killswitch.operator import Operator
    from pipeline.killswitch.server import Answer
    from pipeline.killswitch.status import Status

app = typer.Typer(help="See, trip and reset the kill switch.", no_args_is_help=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The configuration file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Who you are; by default the user of this system.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for those who read it later.")]


@app.command()
def status(config: ConfigOption = None, store: StoreOption = None, json: JsonOption = False) -> None:
    """Show the trips in force, the resets that wait for approval, and whether the switch is healthy.

    Examples:

      auditfuse killswitch status

      auditfuse killswitch status --json
    """
    from pipeline.killswitch.operator import NoServerError

    operator = _operator(config, store)
    served = True
    try:
        now = operator.status()
    except NoServerError as error:
        served = False
        sys.stderr.write(f"auditfuse: {error}; this is what a restarted server would begin with\n")
        now = operator.remembered_status()
    if json:
        _print_json({"served": served, **msgspec.to_builtins(now)})
    else:
        _print_status(now)


@app.command()
def trip(
    *,
    reason: ReasonOption,
    agent: Annotated[str | None, typer.Option(help="The agent to trip.")] = None,
    environment: Annotated[str | None, typer.Option(help="Only in this environment.")] = None,
    version: Annotated[str | None, typer.Option(help="Only this version.")] = None,
    tool: Annotated[str | None, typer.Option(help="Only this tool.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every agent there is.")] = False,
    mode: Annotated[str, typer.Option(help="throttle, approval, read_only or off.")] = "off",
    by: ByOption = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="End by itself after so many minutes.")
    ] = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Trip: at once, with the store, Kafka and even the control server down.

    Without the server the trip is written to the journal, which the server reads as soon as it runs.

    Examples:

      auditfuse killswitch trip --agent invoice-agent --mode off --reason "pays twice" --by alice

      auditfuse killswitch trip --tool refund --mode read_only --minutes 30 --reason "price file is wrong"
    """
    selector = Selector(environment=environment, agent=agent, version=version, tool=tool)
    if (selector == Selector()) != everything:
        raise ConfigError(
            "name what to trip (--agent, --environment, --version, --tool), or --all for everything"
        )
    until_ms = None if minutes is None else int((time.time() + minutes * 60) * 1000)
    answer = _operator(config, store).trip(
        selector, _mode(mode, MODES[1:]), by=_name(by), reason=_reason(reason), until_ms=until_ms
    )
    if isinstance(answer, Command):
        sys.stderr.write(
            "auditfuse: no control server answers. The trip is in the journal, and a server that starts or "
            "runs with it serves it at once; until then agents get no answer, which means no action\n"
        )
        _report(answer, "journaled", "", json=json)
    else:
        _report_answer(answer, json=json)


@app.command()
def reset(
    trips: Annotated[list[str] | None, typer.Argument(help="The trips to lift (see status).")] = None,
    *,
    reason: ReasonOption,
    approve: Annotated[str | None, typer.Option(help="Approve this request, as a second person.")] = None,
    to: Annotated[
        str, typer.Option(help="Loosen only to this mode: on, throttle, approval, read_only.")
    ] = "on",
    by: ByOption = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Lift trips, by two people: one asks, another approves. It is served once it is sealed.

    Examples:

      auditfuse killswitch reset trip_5f0c77aa1b2c --by alice --reason "fixed in 4.2.1"

      auditfuse killswitch reset --approve reset_91be05d2a7f3 --by bob --reason "checked the fix"
    """
    if bool(trips) == (approve is not None):
        raise ConfigError("name the trips to lift, or --approve REQUEST, not both")
    operator = _operator(config, store)
    if approve is not None:
        answer = operator.approve_reset(approve, by=_name(by), reason=_reason(reason))
    else:
        mode = _mode(to, MODES[:-1])
        answer = operator.request_reset(trips or [], by=_name(by), reason=_reason(reason), mode=mode)
    _report_answer(answer, json=json)


@app.command("step-down")
def step_down(
    trips: Annotated[list[str], typer.Argument(help="Automatic trips (see status).")],
    *,
    reason: ReasonOption,
    by: ByOption = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Take an automatic trip down to read_only, as one person on call. Lifting it takes two.

    Examples:

      auditfuse killswitch step-down trip_5f0c77aa1b2c --by alice --reason "month end, reads are needed"
    """
    answer = _operator(config, store).step_down(trips, by=_name(by), reason=_reason(reason))
    _report_answer(answer, json=json)


def _operator(config: Path | None, store: str | None) -> "Operator":
    from pipeline.config import load_config
    from pipeline.keys import Keys
    from pipeline.killswitch.operator import Operator
    from pipeline.logs import configure_logs
    from pipeline.redact.reasons import ReasonRedactor

    settings = load_config(config, store=store)
    configure_logs(settings.log)
    return Operator(settings.killswitch, ReasonRedactor(settings.redaction, Keys(settings.keys.path)))


def _mode(text: str, allowed: tuple[Mode, ...]) -> Mode:
    for mode in allowed:
        if mode == text.replace("-", "_").lower():
            return mode
    raise ConfigError(f"the mode must be one of {', '.join(allowed)}")


def _name(by: str | None) -> str:
    if by:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise ConfigError("who are you? name yourself with --by") from None


def _reason(reason: str) -> str:
    if not reason.strip():
        raise ConfigError("give a --reason: whoever gets woken by this will ask")
    return reason


def _report_answer(answer: "Answer", *, json: bool) -> None:
    _report(answer.command, answer.standing, answer.next, json=json)


def _report(command: Command, standing: str, needed: str, *, json: bool) -> None:
    if json:
        _print_json({"command": msgspec.to_builtins(command), "standing": standing, "next": needed})
        return
    if command.command == "trip":
        print(
            f"tripped {_covers(command.selector or Selector())} to {command.mode}: {command.id} ({standing})"
        )
        print(f"undo: auditfuse killswitch reset {command.id} --reason … (a second person approves)")
    elif command.command == "reset_request":
        print(f"reset of {', '.join(command.trips)} to {command.mode} requested: {command.id} ({standing})")
    else:
        done = "approved" if command.command == "reset_approval" else "stepped down to read_only"
        in_effect = "in effect" if standing == "sealed" else "NOT in effect yet"
        print(f"{done}: {', '.join(command.trips)} ({in_effect})")
    if needed:
        print(needed)


def _print_status(now: "Status") -> None:
    print(f"{len(now.trips)} trip{'' if len(now.trips) == 1 else 's'} in force (digest {now.digest[:16]})")
    for one in now.trips:
        until = f", until {_moment(one.until_ms)}" if one.until_ms is not None else ""
        made = f"{_moment(one.at_ms)} {'automatic' if one.automatic else f'by {one.by}'}{until}"
        print(f"  {one.id}  {one.mode:<9}  {_covers(one.selector)}  {made} [{one.standing}]")
        print(f"      {one.reason}")
    for one in now.requests:
        asked = f"{', '.join(one.trips)} to {one.mode}, by {one.by}"
        print(f"  {one.id}  waits for a second person: {asked} [{one.standing}]")
        print(f"      {one.reason}")
    if any(one.standing == "volatile" for one in now.trips):
        print("WARNING: a volatile trip is forgotten by a restart; the journal cannot be written")
    for name, part in (("journal", now.journal), ("_control", now.control)):
        if not part.working:
            print(f"WARNING: {name} has failed for {part.failing_s or 0:.0f} s: {part.fault}")


def _covers(selector: Selector) -> str:
    named = [f"{key} {value}" for key, value in msgspec.structs.asdict(selector).items() if value is not None]
    return ", ".join(named) or "everything"


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _print_json(document: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    sys.stdout.flush()

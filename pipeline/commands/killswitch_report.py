"""What `auditfuse killswitch` prints: orders, the status, a drill."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.command import Command, Selector

if TYPE_CHECKING:
    from pipeline.killswitch.drill import DrillResult
    from pipeline.killswitch.drill_http import Drills
    from pipeline.killswitch.server import Answer
    from pipeline.killswitch.status import Status


def report_answer(answer: "Answer", *, json: bool) -> None:
    """What the server answered to an order."""
    report(answer.command, answer.standing, answer.next, json=json)


def report(command: Command, standing: str, needed: str, *, json: bool) -> None:
    """What became of an order, and what is still needed."""
    if json:
        print_json({"command": msgspec.to_builtins(command), "standing": standing, "next": needed})
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


def print_status(now: "Status") -> None:
    """The switch as a person reads it."""
    print(f"{len(now.trips)} trip{'' if len(now.trips) == 1 else 's'} in force (digest {now.digest[:16]})")
    for one in now.trips:
        until = f", until {_moment(one.until_ms)}" if one.until_ms is not None else ""
        made = f"{_moment(one.at_ms)} {'automatic' if one.automatic else f'by {one.by}'}{until}"
        print(f"  {one.id}  {one.mode:<9}  {_covers(one.selector)}  {made} [{one.standing}]")
        print(f"      {one.reason}")
        print(f"      {one.enforcement.state}: {one.enforcement.why}")
    for one in now.requests:
        asked = f"{', '.join(one.trips)} to {one.mode}, by {one.by}"
        print(f"  {one.id}  waits for a second person: {asked} [{one.standing}]")
        print(f"      {one.reason}")
    if any(one.standing == "volatile" for one in now.trips):
        print("WARNING: a volatile trip is forgotten by a restart; the journal cannot be written")
    for one in now.actuators:
        if one.state != "enforced":
            what = "the release" if one.wanted == "on" else one.wanted
            print(
                f"WARNING: actuator {one.actuator}: {what} of {one.trip} is {one.state} {one.detail}".rstrip()
            )
    for warning in now.warnings:
        print(f"WARNING: {warning}")
    for name, part in (("journal", now.journal), ("_control", now.control)):
        if not part.working:
            print(f"WARNING: {name} has failed for {part.failing_s or 0:.0f} s: {part.fault}")


def print_drills(shown: "Drills") -> None:
    """The latest drills, a line each."""
    for result in shown.drills:
        verdict = "good" if result.good else f"NOT good: {result.why}"
        print(f"{_moment(result.at_ms)}  {result.trip}  {verdict}")
    print(shown.overdue or f"{len(shown.drills)} drills")


def print_drill(result: "DrillResult") -> None:
    """One drill, a line a client."""
    print(f"drill of {result.agent}: {result.trip}, {result.enforcement} as the server says")
    for one in result.clients:
        stopped = (
            "did NOT stop" if one.last_action_ms is None else f"last action after {one.last_action_ms:.0f} ms"
        )
        again = (
            "never again"
            if one.allowed_again_ms is None
            else f"again after {one.allowed_again_ms / 1000:.1f} s"
        )
        print(f"  {one.name:<10}  {stopped}; {again}")
    print(
        "good: every client stopped in time, and went on after the end"
        if result.good
        else f"NOT good: {result.why}"
    )


def _covers(selector: Selector) -> str:
    named = [f"{key} {value}" for key, value in msgspec.structs.asdict(selector).items() if value is not None]
    return ", ".join(named) or "everything"


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def print_json(document: Any) -> None:
    """One JSON document."""
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    sys.stdout.flush()

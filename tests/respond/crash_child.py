"""Run by test_crash.py in a process of its own: forks children that are killed at named steps.

Arguments: webhook URL, directory, then `steps`, or `moments` and how many.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.respond import found, open_state, paging_to

from pipeline.clock import system_now_ms
from pipeline.respond.messages import Outbox
from pipeline.respond.outbox import Deliverer
from pipeline.respond.pager import ApprisePager
from schemas.finding import FindingRow, IncidentRow

STEPS = (
    "before consume commits",
    "after consume",
    "before append",
    "after append",
    "before send",
    "after send",
    "after mark",
)
TOPIC_ID = "traces.0123456789abcdef0123456789abcdef"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(run: Callable[[], None]) -> int:
    """Run in a forked child; returns the signal that ended it, 0 for none."""
    pid = os.fork()
    if pid == 0:
        run()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        raise SystemExit("the child failed")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def seal(directory: Path) -> Callable[[list[FindingRow | IncidentRow]], None]:
    """`_findings` as a file of row ids that takes none twice, as the store does."""
    path = directory / "sealed"

    def append(rows: list[FindingRow | IncidentRow]) -> None:
        known = set(path.read_text().split("\n")) if path.exists() else set()
        with path.open("a") as file:
            file.writelines(f"{row.id}\n" for row in rows if row.id not in known)

    return append


def respond(directory: Path, url: str, step: str = "", part: int = 0) -> None:
    """Consume what is not consumed, deliver everything; die at `step`."""
    config = paging_to(url, append_wait_s=60)
    state = open_state(directory, config)
    pager, append = ApprisePager(config), seal(directory)
    if step == "before consume commits":
        wrap(sys.modules["pipeline.respond.consume"], "take", after=True)
    if (TOPIC_ID, part) not in state.sealed_ends():
        finding = found(f"agent-{part}", key={"run": directory.name})
        state.consume([finding], {(TOPIC_ID, part): (0, 40)}, system_now_ms())
    if step == "after consume":
        die()
    deliverer = Deliverer(state, append, pager, config)
    if step in ("before append", "after append"):
        wrap(deliverer, "_append_findings", after=step.startswith("after"))
    if step in ("before send", "after send"):
        wrap(pager, "send", after=step.startswith("after"))
    if step == "after mark":
        wrap(Outbox, "record", after=True)
    while deliverer.drain_once():
        time.sleep(0.02)


def wrap(owner: Any, name: str, *, after: bool) -> None:
    """Die before or after the call of that name."""
    original = getattr(owner, name)

    def dying(*arguments: Any, **named: Any) -> Any:
        if after:
            original(*arguments, **named)
        die()

    setattr(owner, name, dying)


def every_step(url: str, directory: Path) -> None:
    for number, step in enumerate(STEPS):
        place = directory / f"step-{number}"
        place.mkdir()
        ended_by = in_child(lambda place=place, step=step: respond(place, url, step))
        if ended_by != signal.SIGKILL:
            raise SystemExit(f"nothing was killed {step}")
        in_child(lambda place=place: respond(place, url))


def random_moments(url: str, directory: Path, count: int) -> int:
    """For each finding: a responder that is killed at some moment until a little after it has told it, and
    one that finishes. Returns how many were killed before they had ended."""
    chance, killed = random.Random(7), 0
    began_s = time.monotonic()
    in_child(lambda: respond(directory, url, part=0))
    whole_s = time.monotonic() - began_s
    for number in range(1, count + 1):
        pid = os.fork()
        if pid == 0:
            respond(directory, url, part=number)
            os._exit(0)
        time.sleep(chance.uniform(0, 1.1 * whole_s))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        killed += os.WIFSIGNALED(status)
        in_child(lambda number=number: respond(directory, url, part=number))
    return killed


if __name__ == "__main__":
    ApprisePager(paging_to(sys.argv[1])).prepare()  # loaded once, before the forks
    if sys.argv[3] == "steps":
        every_step(sys.argv[1], Path(sys.argv[2]))
    else:
        print("killed", random_moments(sys.argv[1], Path(sys.argv[2]), int(sys.argv[4])))

"""Run by test_crash.py in a process of its own: forks children that are killed at named steps.

Arguments: webhook URL, directory, then `steps` or `moments`.
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
PART = ("traces.0123456789abcdef0123456789abcdef", 0)


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


def respond(directory: Path, url: str, step: str = "", count: int = 1) -> None:
    """Consume what is not consumed, deliver everything; die at `step`."""
    config = paging_to(url, append_wait_s=60)
    state = open_state(directory, config)
    pager, append = ApprisePager(config), seal(directory)
    if step == "before consume commits":
        wrap(sys.modules["pipeline.respond.consume"], "take", after=True)
    if PART not in state.sealed_ends():
        state.consume(
            [found(f"agent-{n}", key={"run": directory.name}) for n in range(count)],
            {PART: (0, 40)},
            system_now_ms(),
        )
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


def random_moments(url: str, directory: Path) -> None:
    chance = random.Random(7)
    for _ in range(12):
        pid = os.fork()
        if pid == 0:
            respond(directory, url, count=20)
            os._exit(0)
        time.sleep(chance.uniform(0.01, 0.12))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    in_child(lambda: respond(directory, url, count=20))


if __name__ == "__main__":
    ApprisePager(paging_to(sys.argv[1])).prepare()  # loaded once, before the forks
    run = every_step if sys.argv[3] == "steps" else random_moments
    run(sys.argv[1], Path(sys.argv[2]))

"""What the kill switch's tests share: a `_control` in memory that can be broken, and a running server."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipeline.control_app import RunningServer, build_control_app, serve_in_thread
from pipeline.killswitch.auth import local_token
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.switch import KillSwitch, StandsFor
from pipeline.redact.reasons import Redact
from schemas.command import Command, Selector

FLAGS = "/ofrep/v1/evaluate/flags"
PEOPLE = {"vera": "viewer", "rita": "responder", "aldo": "approver", "abel": "approver", "bot": "agent"}
"""Who has a token: the word NAME-token."""


def people_tokens() -> list[dict[str, str]]:
    """Theirs, as the configuration has them."""
    return [
        {"name": name, "role": role, "sha256": hashlib.sha256(f"{name}-token".encode()).hexdigest()}
        for name, role in PEOPLE.items()
    ]


def bearer(name: str) -> dict[str, str]:
    """The header of that person."""
    return {"authorization": f"Bearer {name}-token"}


def trip(switch: KillSwitch, **selector: str) -> Command:
    """Trip to off, by a person."""
    return switch.trip(Selector(**selector), "off", by="alice", reason="r")


class FakeControl:
    """`_control` as the switch sees it. `broken` makes every access fail."""

    def __init__(self) -> None:
        self.rows: list[Command] = []
        self.broken = False

    def append(self, commands: Sequence[Command]) -> list[str]:
        self._check()
        known = {row.id for row in self.rows}
        self.rows.extend(command for command in commands if command.id not in known)
        return [command.id for command in commands]

    def read_sealed(self, after_offset: int) -> list[tuple[int, Command | None]]:
        self._check()
        return list(enumerate(self.rows))[after_offset + 1 :]

    def _check(self) -> None:
        if self.broken:
            raise OSError(30, "Read-only file system")


class Clock:
    """Wall-clock milliseconds that a test moves."""

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms


def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Wait until a condition holds, or fail."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.005)


@contextlib.contextmanager
def running_switch(
    journal: Path,
    control: FakeControl | None = None,
    now_ms: Callable[[], int] | None = None,
    redact: Redact | None = None,
    stands_for: StandsFor | None = None,
    now_s: Callable[[], float] = time.monotonic,
    **options: object,
) -> Iterator[KillSwitch]:
    control = control or FakeControl()
    config = KillSwitchConfig.model_validate({"journal": journal, **options})
    clock = {} if now_ms is None else {"now_ms": now_ms}
    switch = KillSwitch(
        config,
        append=control.append,
        read_sealed=control.read_sealed,
        redact=redact,
        stands_for=stands_for,
        now_s=now_s,
        **clock,
    )
    switch.start()
    try:
        yield switch
    finally:
        switch.stop()


@contextlib.contextmanager
def served(switch: KillSwitch, port: int = 0) -> Iterator[RunningServer]:
    app = build_control_app(switch, lambda: {"killswitch": True})
    server = serve_in_thread(app, "127.0.0.1", port)
    try:
        yield server
    finally:
        server.stop()


def operator_headers(switch: KillSwitch) -> dict[str, str]:
    return {"authorization": f"Bearer {local_token(switch.config.journal)}"}

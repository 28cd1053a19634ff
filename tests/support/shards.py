"""Two processes that detect, each for a shard, and one that answers, all with one state database.

Run by itself (`python -m support.shards URL BATCHES`) it forks them and waits until all is consumed.
"""

import os
import random
import sys
import time
from collections.abc import Callable

from pydantic import SecretStr
from support.respond import MINUTE_MS, START_MS, Found, found

from pipeline.respond.state import StateConfig, StateDatabase

SHARDS = ("1/2", "2/2")
PARTS = tuple((f"traces.{part:032x}", part) for part in range(3))
AGENTS = 6
NOW_MS = START_MS + MINUTE_MS


def batch_of(shard: str, number: int) -> list[Found]:
    """What a shard finds in one batch: bursts of its own agents; now and then all of them fall silent, which
    is one incident for both shards."""
    side = shard[0]
    bursts = [found(f"agent-{side}-{(number + n) % AGENTS}", window=number) for n in range(3)]
    if number % 5:
        return bursts
    return bursts + [found(f"agent-{side}-{n}", window=number, detector="silence") for n in range(AGENTS)]


def all_findings(batches: int) -> set[str]:
    return {
        item.finding.finding_id
        for shard in SHARDS
        for number in range(batches)
        for item in batch_of(shard, number)
    }


def consume(url: str, shard: str, batches: int) -> None:
    state = StateDatabase(StateConfig(url=SecretStr(url)))
    state.create_schema()
    for number in range(batches):
        ends = dict.fromkeys(PARTS, (number * 10, number * 10 + 10))
        state.consume(batch_of(shard, number), ends, NOW_MS + number, shard=shard)


def answer(url: str, done: int) -> None:
    """Acknowledge and resolve whatever is open, until somebody writes to the pipe `done`."""
    state, chance = StateDatabase(StateConfig(url=SecretStr(url))), random.Random(7)
    state.create_schema()
    os.set_blocking(done, False)
    while not _is_over(done):
        for incident in state.incidents():
            change = state.acknowledge if incident.status == "open" else state.resolve
            if chance.random() < 0.5:
                change(incident.incident_id, "maria", "looked", NOW_MS)
        time.sleep(0.001)


def _is_over(done: int) -> bool:
    try:
        return os.read(done, 1) == b"x"
    except BlockingIOError:
        return False


def fork(run: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 (a child must not go on as its parent)
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    return pid


def main(url: str, batches: int) -> None:
    done, over = os.pipe()
    detecting = [fork(lambda shard=shard: consume(url, shard, batches)) for shard in SHARDS]
    answering = fork(lambda: answer(url, done))
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in detecting]
    os.write(over, b"x")
    codes.append(os.waitstatus_to_exitcode(os.waitpid(answering, 0)[1]))
    if any(codes):
        raise SystemExit(f"children ended with {codes}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

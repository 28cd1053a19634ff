"""The messages of a run: the generator's stream with faults planted in it, and poison among it."""

import itertools
import random
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

from support.fault_run.poison import POISON

from pipeline.generate.faults import Fault
from pipeline.generate.stream import StreamConfig, fleet, generate, native_json

AGENTS = 12
POISON_SHARE = 0.01
PLANTED_FACTOR = 10.0
PLANTED_S = 15.0
Detector = Literal["write_burst", "auth_failure"]


class Planted(NamedTuple):
    """A fault of an agent, which must be found."""

    agent_id: str
    detector: Detector
    onset_s: float


def planted(length_s: float, every_s: float, first_s: float) -> list[Planted]:
    """Each agent and each detector in turn."""
    agents = [f"agent-{n:03d}" for n in range(1, AGENTS + 1)]
    pairs = itertools.cycle((agent, kind) for kind in get_args(Detector) for agent in agents)
    onsets = itertools.takewhile(lambda at: at < length_s, itertools.count(first_s, every_s))
    return [Planted(*next(pairs), at) for at in onsets]


def stream(
    seed: int, per_second: float, length_s: float, plants: list[Planted], start_ms: int
) -> StreamConfig:
    """The events' configuration."""
    faults = [
        Fault(one.detector, one.agent_id, one.onset_s, PLANTED_S, factor=PLANTED_FACTOR) for one in plants
    ]
    return StreamConfig(
        seed=seed,
        agents=fleet(AGENTS, per_second * 60 / AGENTS),
        start_ms=start_ms,
        length_s=length_s,
        faults=faults,
    )


def messages(
    config: StreamConfig, poison_share: float = POISON_SHARE
) -> Iterator[tuple[float, bytes | None]]:
    """When each is due, in seconds after the start, and its bytes. Equal configurations give equal ones."""
    chance = random.Random(f"{config.seed}/poison")
    for number, event in enumerate(generate(config)):
        due_s = (event.start_time_unix_nano / 1e6 - config.start_ms) / 1000
        yield due_s, native_json(event)
        if chance.random() < poison_share:
            yield due_s, chance.choice(POISON)(f"{config.seed}-{number}")

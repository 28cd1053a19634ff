"""The faults of a run: each injects, lasts, is healed, and says what it did. See docs/fault-run.md."""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from support.fault_run.arena import SESSION_S, Arena
from support.fault_run.poison import POISON
from support.fault_run.workers import Worker
from support.running import auditfuse

Layer = Literal["process", "broker", "network", "host", "topic", "page"]
READY_S = 60.0
HOUR_MS = 3_600_000


class Kind(NamedTuple):
    """A fault that can be drawn."""

    name: str
    layer: Layer
    weight: int
    inject: Callable[[Arena, random.Random], str]
    needs_nodes: int = 1
    at_most: int = 1_000
    """In one run: some take long to come back from, by design."""


def _kill(arena: Arena, chance: random.Random) -> str:
    worker = chance.choice(arena.regulars)
    worker.kill()
    time.sleep(chance.choice((0.0, 0.0, 2.0, SESSION_S + 2)))
    worker.start()
    return worker.name


def _kill_all(arena: Arena, chance: random.Random) -> str:
    for worker in arena.regulars:
        worker.kill()
    for worker in arena.regulars:
        worker.start()
    return "every worker"


def _pause(arena: Arena, chance: random.Random, length_s: float) -> str:
    worker = chance.choice(arena.regulars)
    worker.send(signal.SIGSTOP)
    time.sleep(length_s)
    worker.send(signal.SIGCONT)
    return f"{worker.name} for {length_s:.1f} s"


def _pause_briefly(arena: Arena, chance: random.Random) -> str:
    return _pause(arena, chance, chance.uniform(1, SESSION_S - 2))


def _pause_beyond_session(arena: Arena, chance: random.Random) -> str:
    return _pause(arena, chance, chance.uniform(SESSION_S + 2, SESSION_S + 6))


def _leave(arena: Arena, chance: random.Random) -> str:
    worker = chance.choice(arena.regulars)
    ended = worker.stop()
    assert ended == 0, f"{worker.name} ended with {ended} after SIGTERM: {worker.log()[-1500:]}"
    time.sleep(chance.uniform(0, 3))
    worker.start()
    return f"{worker.name} by SIGTERM"


def _join(arena: Arena, chance: random.Random) -> str:
    joiner = arena.joiner
    joiner.start()
    arena.wait(joiner.is_ready, READY_S, "the further member is ready")
    time.sleep(chance.uniform(1, 4))
    if chance.random() < 0.5:
        joiner.kill()
        return "a fourth member, killed afterwards"
    assert joiner.stop() == 0, joiner.log()[-1500:]
    return "a fourth member, which left again"


def _kill_pool(arena: Arena, chance: random.Random) -> str:
    worker = arena.ingesting[0]
    pool = [pid for pid in worker.children() if _is_pool(pid)]
    for pid in pool:
        os.kill(pid, signal.SIGKILL)
    return f"{worker.name}: {len(pool)} processes of its pool"


def _is_pool(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            return b"spawn_main" in file.read()
    except OSError:
        return False


def _upgrade(arena: Arena, chance: random.Random) -> str:
    """One after the other, each once the one before is ready again."""
    for worker in arena.regulars:
        assert worker.stop() == 0, worker.log()[-1500:]
        if arena.newer is not None:
            worker.nursery = arena.newer
        rows = chance.choice((4_000, 8_000, 16_000))
        worker.sections["store"] = {**worker.sections["store"], "seal_max_rows": rows}
        worker.start()
        arena.wait(worker.is_ready, READY_S, f"{worker.name} ready after its upgrade")
    return "to another checkout" if arena.newer else "to another configuration"


def _kill_node(arena: Arena, chance: random.Random) -> str:
    node = chance.choice(arena.cluster.nodes)
    node.send(signal.SIGKILL)
    time.sleep(chance.uniform(0, 8))
    node.start()
    node.wait_until_listening()
    return f"node {node.number}"


def _kill_nodes(arena: Arena, chance: random.Random) -> str:
    for node in arena.cluster.nodes:
        node.send(signal.SIGKILL)
    time.sleep(chance.uniform(0, 3))
    for node in arena.cluster.nodes:
        node.start()
    for node in arena.cluster.nodes:
        node.wait_until_listening()
    return "every node"


def _pause_node(arena: Arena, chance: random.Random) -> str:
    node = chance.choice(arena.cluster.nodes)
    length_s = chance.uniform(3, 10)
    node.send(signal.SIGSTOP)
    time.sleep(length_s)
    node.send(signal.SIGCONT)
    return f"node {node.number} for {length_s:.1f} s"


def _network(mode: str, low_s: float, high_s: float, *, one_node: bool = False, delay_s: float = 0.0):
    def inject(arena: Arena, chance: random.Random) -> str:
        worker = chance.choice(arena.ingesting)
        node = chance.choice(arena.cluster.nodes).number if one_node else None
        length_s = chance.uniform(low_s, high_s)
        arena.network.set(mode, worker.name, None if node is None else [node], delay_s)  # pyright: ignore[reportArgumentType]
        time.sleep(length_s)
        arena.network.heal()
        return f"{worker.name} and {'every node' if node is None else f'node {node}'} for {length_s:.1f} s"

    return inject


def _full_disk(arena: Arena, chance: random.Random) -> str:
    length_s = chance.uniform(2, 6)
    if not arena.is_mounted:
        for worker in arena.regulars:
            worker.set_levers(is_full=True)
        time.sleep(length_s)
        for worker in arena.regulars:
            worker.set_levers()
        return f"as the workers' calls tell them, for {length_s:.1f} s"
    filler = arena.folder / "store" / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
    try:
        _fill(descriptor, arena)
        time.sleep(length_s)
    finally:
        os.close(descriptor)
        filler.unlink()
    return f"a really full file system, for {length_s:.1f} s"


def _fill(descriptor: int, arena: Arena) -> None:
    """Take every free block; what others free meanwhile is taken too."""
    taken = 0
    while (free := shutil.disk_usage(arena.store).free) > 0:
        try:
            os.posix_fallocate(descriptor, taken, free)
        except OSError:
            break
        taken += free


def _slow_disk(arena: Arena, chance: random.Random) -> str:
    sync_ms, length_s = chance.choice((50, 200, 600)), chance.uniform(4, 8)
    worker = chance.choice(arena.regulars)
    worker.set_levers(sync_ms=sync_ms)
    time.sleep(length_s)
    worker.set_levers()
    return f"{worker.name}: {sync_ms} ms each sync, for {length_s:.1f} s"


def _clock(arena: Arena, chance: random.Random) -> str:
    shift_ms = chance.choice((HOUR_MS, 5 * 60_000, 20_000, -20_000, -5 * 60_000, -HOUR_MS))
    length_s = chance.uniform(3, 8)
    worker = chance.choice(arena.regulars)
    worker.set_levers(clock_ms=shift_ms)
    time.sleep(length_s)
    worker.set_levers()
    return f"{worker.name}: {shift_ms / 1000:+.0f} s for {length_s:.1f} s, and back"


def _poison(arena: Arena, chance: random.Random) -> str:
    count = chance.randrange(20, 200)
    arena.traffic.inject([chance.choice(POISON)(f"burst-{n}") for n in range(count)])
    return f"{count} in a row, to one partition"


def _expire(arena: Arena, chance: random.Random) -> str:
    """Delete what is not sealed yet: the partition must halt, and go on once a person has decided."""
    partition = chance.randrange(arena.plan.partitions)
    key = (arena.traffic.topic_id, partition)
    for worker in arena.ingesting:
        worker.kill()
    end = arena.sealed.ends().get(key, 0)
    arena.wait(lambda: arena.traffic.ends[key] >= end + 60, 60, "something not sealed")
    before = end + 40
    arena.traffic.expire(partition, before)
    for worker in arena.ingesting:
        worker.start()
    anyone = arena.regulars[0]
    arena.wait(lambda: key in _halted(anyone), READY_S, f"partition {partition} halts")
    time.sleep(chance.uniform(0, 3))
    decision = ("--to", str(before), "--reason", "retention of a test", "--by", "harness")
    auditfuse("gap", "accept", key[0], str(partition), *decision, cwd=anyone.folder)
    arena.accepted.append((*key, end, before))
    arena.wait(lambda: arena.sealed.ends()[key] > before, READY_S, f"partition {partition} goes on")
    return f"{before - end} offsets of partition {partition}, gap accepted"


def _halted(worker: Worker) -> set[tuple[str, int]]:
    done = auditfuse("gap", "list", "--config", "auditfuse.toml", "--json", cwd=worker.folder)
    return {(one["topic_id"], one["partition"]) for one in json.loads(done.stdout)}


def _recreate(arena: Arena, chance: random.Random) -> str:
    """What the old topic held is sealed before; the new one is another topic."""
    arena.traffic.settle()
    arena.wait_sealed_up()
    before = arena.traffic.topic_id
    arena.traffic.recreate()
    arena.traffic.hold(is_on=False)
    new = arena.traffic.topic_id
    arena.wait(
        lambda: any(key[0] == new and end > 0 for key, end in arena.sealed.ends().items()),
        90,
        "the new topic is sealed",
    )
    return f"{before[-8:]} is {new[-8:]} now"


def _pages_refused(arena: Arena, chance: random.Random) -> str:
    length_s = chance.uniform(3, 8)
    arena.webhook.status = 503
    time.sleep(length_s)
    arena.webhook.status = 200
    return f"503 for {length_s:.1f} s"


KINDS = (
    Kind("worker killed", "process", 12, _kill),
    Kind("all workers killed", "process", 2, _kill_all),
    Kind("worker paused briefly", "process", 6, _pause_briefly),
    Kind("worker paused beyond its session", "process", 7, _pause_beyond_session),
    Kind("member leaves and comes back", "process", 6, _leave),
    Kind("member joins and leaves", "process", 5, _join),
    Kind("pool killed", "process", 4, _kill_pool),
    Kind("rolling upgrade", "process", 2, _upgrade, at_most=4),
    Kind("broker killed", "broker", 10, _kill_node),
    Kind("all brokers killed", "broker", 2, _kill_nodes, at_most=4),
    Kind("broker paused", "broker", 5, _pause_node),
    Kind("partition from all brokers", "network", 6, _network("held", 3, 12)),
    Kind("partition from one broker", "network", 5, _network("held", 3, 12, one_node=True), 2),
    Kind("answers lost", "network", 4, _network("deaf", 3, 10)),
    Kind("slow network", "network", 4, _network("slow", 4, 8, delay_s=0.15)),
    Kind("connections cut", "network", 5, _network("cut", 0.2, 5)),
    Kind("flaky network", "network", 5, _network("flaky", 4, 8)),
    Kind("full disk", "host", 5, _full_disk),
    Kind("slow disk", "host", 4, _slow_disk),
    Kind("clock jumps", "host", 6, _clock),
    Kind("poison in a row", "topic", 4, _poison),
    Kind("expired offsets", "topic", 3, _expire, at_most=6),
    Kind("topic made anew", "topic", 1, _recreate, at_most=2),
    Kind("pages refused", "page", 3, _pages_refused),
)


def draw(seed: int, count: int, nodes: int) -> list[Kind]:
    """A schedule: every kind once where `count` allows, the rest by weight; equal seeds give equal ones."""
    chance = random.Random(f"{seed}/schedule")
    possible = [kind for kind in KINDS if kind.needs_nodes <= nodes]
    schedule = chance.sample(possible, min(count, len(possible)))
    while len(schedule) < count:
        kind = chance.choices(possible, [one.weight for one in possible])[0]
        if schedule.count(kind) < kind.at_most:
            schedule.append(kind)
    chance.shuffle(schedule)
    return schedule

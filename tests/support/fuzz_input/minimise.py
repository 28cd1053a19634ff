"""A message that fails, made as small as it may be and still fail in the same way."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

from support.fuzz_input.rounds import FORMAT_OF, Message

from pipeline.decode.action_kind import ToolPatterns
from pipeline.decode.sources import SourceConfig
from pipeline.keys import Keys
from pipeline.prepare import Batch, Preparation
from pipeline.redact.config import RedactionConfig
from pipeline.topics import base

SLOW_S = 5.0
"""One message that takes longer holds its partition up."""
DEADLINE_S = 60.0


def preparation(keys: Keys) -> Preparation:
    """As a worker has it, with a source of each format."""
    sources = [
        SourceConfig(name=form, topic=form, kind="local", format=form, agents=("*",), environments=("*",))
        for form in dict.fromkeys(FORMAT_OF.values())
    ]
    return Preparation(sources, ToolPatterns(), RedactionConfig(), keys)


def defect(prepare: Preparation, message: Message) -> str | None:
    """What goes wrong with a message alone; None where it becomes rows, in time."""
    batch = Batch(
        topic_id=f"fuzz.{'0' * 32}",
        partition=0,
        source=FORMAT_OF[message.form],
        messages=[base.Message(0, 0, 1_790_000_000_000, "append", None, message.content)],
        ingest_time_ms=0,
    )
    started_s = time.monotonic()
    try:
        rows = prepare(batch)
    except Exception as error:  # noqa: BLE001 (what is looked for)
        return type(error).__name__
    if not rows:
        return "no row"
    return "slow" if time.monotonic() - started_s > SLOW_S else None


class Child:
    """Judges messages in a process of its own, since the defect may be the end of that."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._start()

    def defect(self, message: Message) -> str | None:
        """As `defect`; also `died` and `hangs`."""
        self._ours.send(message)
        try:
            if self._ours.poll(DEADLINE_S):
                return self._ours.recv()
            found = "hangs"
        except EOFError:
            found = "died"
        self.close()
        self._start()
        return found

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._keys), daemon=True)
        self._process.start()
        theirs.close()


def _serve(asked: Connection, keys: Keys) -> None:
    prepare = preparation(keys)
    while True:
        asked.send(defect(prepare, asked.recv()))


def minimised(message: Message, found: str, judge: Callable[[Message], str | None]) -> Message:
    """Cut ever smaller pieces out, as long as the defect stays."""
    content, piece = message.content, max(1, len(message.content) // 2)
    while True:
        at, was = 0, len(content)
        while at < len(content):
            shorter = content[:at] + content[at + piece :]
            if judge(Message(message.form, shorter, False)) == found:
                content = shorter
            else:
                at += piece
        if piece == 1 and len(content) == was:
            return Message(message.form, content, False)
        piece = max(1, piece // 2)


def culprits(messages: Sequence[Message], keys: Keys, most: int = 10) -> list[tuple[str, Message]]:
    """The defects among these messages, one of each kind and form, as small as they may be."""
    child, found = Child(keys), dict[tuple[str, str], Message]()
    try:
        for message in messages:
            what = child.defect(message)
            if what is not None and (what, message.form) not in found and len(found) < most:
                found[what, message.form] = minimised(message, what, child.defect)
    finally:
        child.close()
    return [(what, message) for (what, _), message in found.items()]

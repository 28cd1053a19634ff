"""The endless trace files of the benchmarks: other values each time, and the file's own share of repeats."""

import gzip
import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

import pytest
from support.traces import needs_shared

from benchmarks.looped import Looped, fresh_id
from benchmarks.report import SHARED
from benchmarks.soak import Point, growths
from benchmarks.traces import FILES

SAID = [
    "Please change my flight to Lisbon, my name is Maria Gomes.",
    "I have changed the booking of Maria Gomes to 2026-03-14 at 10:45.",
    "Thank you, that is all that I wanted to know today.",
    "Your new seat is 14C; write to maria.gomes@example.org if anything is wrong.",
]


def event(number: int, text: str, answer: Any) -> bytes:
    made = {
        "start_time_unix_nano": 1_700_000_000_000_000_000 + number,
        "trace_id": f"{number // 3:032x}",
        "span_id": f"{number:016x}",
        "session_id": f"conv_{number // 3:024x}",
        "agent_id": "desk/assistant",
        "operation": "chat",
        "end_user": f"guest-{number % 5:04d}",
        "input": json.dumps([{"role": "user", "content": text}]),
        "output": json.dumps(answer) if not isinstance(answer, str) else answer,
    }
    return json.dumps(made, separators=(",", ":")).encode()


LINES = [
    event(
        number, SAID[number % 4], SAID[number % 2] if number % 3 else {"price": 120 + number, "seat": "14C"}
    )
    for number in range(24)
]


def leaves(message: bytes) -> Iterable[str]:
    found = json.loads(message)
    yield found["end_user"]
    yield json.loads(found["input"])[0]["content"]
    if not found["output"].startswith("{"):
        yield found["output"]


def repeated(messages: Iterable[bytes]) -> float:
    """The share of the characters of values that were there before."""
    seen: set[str] = set()
    again = total = 0
    for text in (leaf for message in messages for leaf in leaves(message)):
        total += len(text)
        again += len(text) * (text in seen)
        seen.add(text)
    return again / total


def test_the_first_pass_is_the_file() -> None:
    looped = Looped("native", lines=LINES)
    assert list(islice(looped.messages(), len(LINES))) == LINES


def test_every_pass_repeats_as_much_as_the_file_and_nothing_of_the_others() -> None:
    passes = list(islice(Looped("native", lines=LINES).passes(), 40))
    own = repeated(LINES)
    assert repeated(message for one in passes for message in one) == pytest.approx(own, abs=0.03)
    said = [{leaf for message in one for leaf in leaves(message)} for one in passes]
    for number, values in enumerate(said):
        assert len(values) == len(said[0])
        assert not values & set().union(*said[:number])


def test_what_is_unique_never_comes_back() -> None:
    looped = Looped("native", lines=LINES, unique=True)
    assert repeated(islice(looped.messages(), 5 * len(LINES))) == 0


def test_ids_are_new_and_hang_together_and_times_go_on() -> None:
    first, second = (list(map(json.loads, one)) for one in islice(Looped("native", lines=LINES).passes(), 2))
    for name in ("trace_id", "span_id", "session_id"):
        before, after = ([message[name] for message in one] for one in (first, second))
        assert not set(before) & set(after)
        assert len(set(zip(before, after, strict=True))) == len(set(before))
        assert [len(one) for one in before] == [len(one) for one in after]
    assert second[0]["start_time_unix_nano"] > first[-1]["start_time_unix_nano"]
    assert {message["agent_id"] for message in second} == {"desk/assistant"}


def test_names_stay_names_and_addresses_addresses() -> None:
    for one in islice(Looped("native", lines=LINES).passes(), 1, 6):
        texts = [json.loads(json.loads(message)["input"])[0]["content"] for message in one]
        assert all("@example.org" in text for text in texts[3::4])
        assert all(json.loads(message)["output"] for message in one)


def test_an_id_keeps_its_form() -> None:
    assert fresh_id("call_Mxn2CmKacuvxn7cE", 3).startswith("call_")
    assert len(fresh_id("call_Mxn2CmKacuvxn7cE", 3)) == len("call_Mxn2CmKacuvxn7cE")
    assert set(fresh_id("00ff" * 8, 2)) <= set("0123456789abcdef")
    assert fresh_id("00ff" * 8, 0) == "00ff" * 8


@pytest.mark.shared
@needs_shared
@pytest.mark.parametrize("name", FILES)
def test_real_files_come_back_byte_for_byte_in_the_first_pass(name: str) -> None:
    count = 60
    with gzip.open(SHARED / FILES[name][0]) as file:
        lines = [line.rstrip(b"\n") for line in islice(file, count)]
    looped = Looped(name, messages=count)
    assert next(looped.passes()) == lines
    assert looped.events_in(count) == sum(looped._events)


def points(values: Iterable[float]) -> list[Point]:
    return [
        Point(10.0 * number, mb, 40, 20, 2, 15, 100, 1.0, 1000 * number, 300)
        for number, mb in enumerate(values)
    ]


def test_the_slope_of_a_soak_sees_growth_and_no_outlier() -> None:
    steady = [500 + number % 7 for number in range(300)]
    steady[250] = 5000
    by_column = {one.column: one for one in growths(points(steady))}
    assert not any(one.grows for one in by_column.values())
    leak = {one.column: one for one in growths(points(500 + 0.5 * n for n in range(300)))}
    assert leak["rss_mb"].grows
    assert leak["rss_mb"].per_hour == pytest.approx(180, rel=0.01)

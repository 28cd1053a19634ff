"""The real traces: what identifies, times or counts survives byte for byte, what names a person does not."""

import gzip
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.redact import fresh, redactor

from schemas.event import Event

TRACES = Path("../shared/data/traces/taubench.events.ndjson.gz")
ID = re.compile(r"(?:call|conv|appr|toolu|req)_[A-Za-z0-9]{16,}|[0-9a-f]{32}|[0-9a-f]{16}")
TIME = re.compile(r"20\d\d-\d\d-\d\d(?:T[\d:]{8})?")

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not TRACES.exists(), reason=f"{TRACES} is not here"),
]


def _events(step: int = 1) -> list[Event]:
    with gzip.open(TRACES) as lines:
        return [msgspec.json.decode(line, type=Event) for line in islice(lines, 0, None, step)]


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """(key, leaf) pairs with numbers as they are written, JSON in strings opened up."""
    if isinstance(value, dict):
        for k, v in value.items():
            yield from _leaves(v, k)
    elif isinstance(value, list):
        for v in value:
            yield from _leaves(v, key)
    elif isinstance(value, str) and value[:1] in "[{" and value:
        try:
            yield from _leaves(_json(value), key)
        except ValueError:
            yield key, value
    else:
        yield key, value


def _json(text: str) -> Any:
    return json.loads(text, parse_int=lambda s: ("number", s), parse_float=lambda s: ("number", s))


def _must_survive(event: Event) -> list[tuple[str, Any]]:
    payload = {"input": event.input, "output": event.output}
    return [
        (key, leaf)
        for key, leaf in _leaves(payload)
        if isinstance(leaf, tuple)
        or (isinstance(leaf, str) and key != "dob" and (ID.fullmatch(leaf) or TIME.fullmatch(leaf)))
    ]


def _check(before: Event, after: Event, payload: bytes) -> None:
    for field in msgspec.structs.fields(Event):
        if field.name not in ("input", "output", "attributes", "end_user"):
            assert getattr(after, field.name) == getattr(before, field.name), field.name
    wanted = _must_survive(before)
    kept = list(_leaves(_json(payload.decode())))
    at = 0
    for key, leaf in wanted:
        while at < len(kept) and kept[at] != (key, leaf):
            at += 1
        assert at < len(kept), f"{leaf!r} under {key!r} did not survive"
        at += 1


def test_ids_amounts_and_times_survive_in_every_event() -> None:
    events = _events()
    assert len(events) == 5108
    results = fresh(names=False).redact([[event] for event in events])
    for before, (result,) in zip(events, results, strict=True):
        _check(before, result.event, result.payload)
        assert not result.failed


def test_they_survive_with_names_on_too_and_the_persons_do_not() -> None:
    events = _events(step=25)
    results = redactor().redact([[event] for event in events])
    persons = 0
    for before, (result,) in zip(events, results, strict=True):
        _check(before, result.event, result.payload)
        assert str(result.event.end_user).startswith("<USER_ID:k1.")
        for key, leaf in _leaves({"input": before.input, "output": before.output}):
            if key in ("first_name", "last_name", "email", "dob") and len(str(leaf)) > 3:
                persons += 1
                assert (key, leaf) not in set(_leaves(_json(result.payload.decode())))
    assert persons > 20

"""The server's answers, read strictly. Pure.

Whatever is not understood never loosens: an answer of another shape is no answer, and a trip with a field
or a mode that this version does not know counts as `off`.
"""

import json
from typing import Any, NamedTuple, cast

from auditfuse_client.decision import MODES, Mode, Trip

MAX_ANSWER_BYTES = 4 << 20
MAX_LEASE_S = 300.0
_TRIP_FIELDS = frozenset({"id", "mode", "selector", "throttle_per_minute"})
_SELECTOR_FIELDS = frozenset({"environment", "agent", "version", "tool"})

_Object = dict[str, Any]


class AnswerError(Exception):
    """An answer that is not taken; the text says why and holds nothing of the answer."""


class Told(NamedTuple):
    """What the server said: the trips that can cover this agent, and the digest that names them."""

    host: str
    digest: str
    trips: tuple[Trip, ...]


class Grant(NamedTuple):
    """A lease: what was told holds for `lease_s` from the sending of the request."""

    told: Told
    lease_s: float
    renew_s: float


def read_grant(body: bytes) -> Grant:
    """The answer to a lease request. Raises AnswerError."""
    answer = _object(body)
    lease_s, renew_s = _seconds(answer, "lease_s"), _seconds(answer, "renew_s")
    if renew_s >= lease_s:
        raise AnswerError("renew_s must be below lease_s")
    return Grant(_told(answer), lease_s, renew_s)


def read_state(body: bytes) -> Told:
    """An event of the stream. Raises AnswerError."""
    return _told(_object(body))


def read_flag(body: bytes, key: str) -> bool:
    """An OFREP evaluation of a boolean flag. Raises AnswerError."""
    answer = _object(body)
    value = answer.get("value")
    if answer.get("key") != key or not isinstance(value, bool):
        raise AnswerError("the answer is no evaluation of the flag that was asked for")
    return value


def _told(answer: _Object) -> Told:
    trips = answer.get("trips")
    if not isinstance(trips, list):
        raise AnswerError("the answer has no list of trips")
    host = answer.get("host")
    read = tuple(_trip(trip) for trip in cast("list[object]", trips))
    return Told(host if isinstance(host, str) else "", _text(answer, "digest"), read)


def _trip(value: object) -> Trip:
    trip, selector = _fields(value), _fields(cast("_Object", value).get("selector"))
    tool = selector.get("tool")
    if tool is not None and not isinstance(tool, str):
        raise AnswerError("a trip's tool is no text")
    known = trip.keys() <= _TRIP_FIELDS and selector.keys() <= _SELECTOR_FIELDS
    mode, per_minute = _mode(trip) if known else "off", trip.get("throttle_per_minute")
    compared = tool.casefold() if tool is not None else None
    return Trip(_text(trip, "id"), mode, compared, per_minute if mode == "throttle" else None)


def _mode(trip: _Object) -> Mode:
    """A mode that is unknown, or a pace that is none, is `off`."""
    mode = trip.get("mode")
    per_minute = trip.get("throttle_per_minute")
    if mode == "throttle" and not (type(per_minute) is int and per_minute > 0):
        return "off"
    return mode if mode in MODES[1:] else "off"


def _object(body: bytes) -> _Object:
    if len(body) > MAX_ANSWER_BYTES:
        raise AnswerError(f"the answer has more than {MAX_ANSWER_BYTES >> 20} MiB")
    try:
        return _fields(json.loads(body))
    except (ValueError, RecursionError):
        raise AnswerError("the answer is not JSON") from None


def _fields(value: object) -> _Object:
    if not isinstance(value, dict):
        raise AnswerError("the answer has another shape than this client knows")
    return cast("_Object", value)


def _text(fields: _Object, name: str) -> str:
    text = fields.get(name)
    if not isinstance(text, str) or not text:
        raise AnswerError(f"the answer has no {name}")
    return text


def _seconds(fields: _Object, name: str) -> float:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_LEASE_S:
        raise AnswerError(f"the answer has no {name} above 0 and up to {MAX_LEASE_S:.0f}")
    return float(value)

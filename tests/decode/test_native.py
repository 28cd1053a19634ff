import json

import pytest
from support.decode import (
    NOW_MS,
    SPAN_ID,
    START_NS,
    TOPIC_ID,
    dead_letter_of,
    decode,
    decode_native,
    event_of,
    native,
)

from pipeline.decode import DeadLetter
from pipeline.decode.base import RowContext
from schemas.event import Event


def encoded(**changes: object) -> bytes:
    return json.dumps(native(**changes)).encode()


def test_a_whole_event_arrives_as_sent():
    event = decode_native(input={"a": [1, "x"]}, attributes={"k": 1}, scopes=["x:read"], input_tokens=5)
    assert (event.start_time_unix_nano, event.span_id, event.agent_id) == (START_NS, SPAN_ID, "invoices")
    assert (event.input, event.attributes, event.scopes) == ({"a": [1, "x"]}, {"k": 1}, ["x:read"])
    assert event.input_tokens == 5
    assert event.channel == "stable"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("1790002800", "2026-09-21T15:00:00Z"),
        ("1790002800123", "2026-09-21T15:00:00Z"),
        ("2026-09-21", "2026-09-21"),
        ("17900028", "17900028"),
    ],
)
def test_an_expiry_in_epoch_time_becomes_a_moment(sent, kept):
    """A number of ten digits would be redacted as a phone number."""
    assert decode_native(credential_expires=sent).credential_expires == kept


def test_an_array_and_ndjson_are_items_in_order():
    events = [native(action=f"get_{n}") for n in range(3)]
    array = decode(json.dumps(events).encode())
    lines = decode(b"\n".join(json.dumps(event).encode() for event in events) + b"\r\n\n")
    for decoded in (array, lines):
        assert [item.item for item in decoded] == [0, 1, 2]
        assert [item.event.action for item in decoded if isinstance(item.event, Event)] == [
            "get_0",
            "get_1",
            "get_2",
        ]


def test_a_bad_line_is_a_dead_letter_between_its_neighbours():
    first = encoded()
    decoded = decode(first + b'\n{"agent_id": \n' + encoded(agent_id=3) + b"\n" + encoded())
    assert [isinstance(item.event, Event) for item in decoded] == [True, False, False, True]
    assert isinstance(decoded[1].event, DeadLetter)
    assert decoded[1].event.reason == "not JSON"
    assert decoded[1].event.error_position is not None
    assert decoded[1].event.error_position > len(first)
    assert isinstance(decoded[2].event, DeadLetter)
    assert decoded[2].event.known_keys["agent_id"] == "number"


def test_pretty_printed_json_is_one_event_and_broken_pretty_print_one_dead_letter():
    text = json.dumps(native(input={"a": {}}), indent=2)
    assert event_of(decode(text.encode())).agent_id == "invoices"
    assert dead_letter_of(decode(text[:-1].encode())).reason == "not JSON"


def test_unknown_keys_become_attributes_and_what_is_ours_to_say_is_not_taken():
    event = decode_native(
        shard=4, flags=["span_id_derived"], approval_source="gateway", attributes={"shard": "inner"}
    )
    assert event.flags == []
    assert event.approval_source is None
    assert event.attributes == {
        "approval_source": "gateway",
        "flags": ["span_id_derived"],
        "shard": "inner",
    }


def test_a_null_means_absent():
    event = decode_native(scopes=None, attributes=None, duration_ns=None, status=None)
    assert (event.scopes, event.attributes, event.duration_ns, event.status) == ([], {}, 0, "unset")


def test_a_missing_span_id_comes_from_the_row_identity():
    context = RowContext(TOPIC_ID, 1, 7, NOW_MS)
    decoded = decode(json.dumps([native(span_id=...), native(span_id="")]).encode())
    ids = [item.event.span_id for item in decoded if isinstance(item.event, Event)]
    assert ids == [context.derived_span_id(0), context.derived_span_id(1)]
    assert all(isinstance(i.event, Event) and i.event.flags == ["span_id_derived"] for i in decoded)


def test_the_derived_span_id_is_the_documented_hash():
    import hashlib

    identity = b"t.00" + bytes([0, 0, 0, 2]) + bytes([0, 0, 0, 0, 0, 0, 1, 0]) + bytes([0, 0, 0, 3])
    expected = hashlib.sha256(identity).hexdigest()[:16]
    assert RowContext("t.00", 2, 256, 0).derived_span_id(3) == expected


def test_an_event_without_environment_is_flagged_and_takes_the_source_default():
    event = decode_native(environment=...)
    assert (event.environment, event.flags) == ("unknown", ["fields_defaulted"])
    event = event_of(decode(encoded(environment=...), default_environment="staging"))
    assert (event.environment, event.flags) == ("staging", [])


@pytest.mark.parametrize(
    ("start_ns", "duration_ns", "flag", "kept"),
    [
        ((NOW_MS + 86_400_000) * 1_000_000, 5, "time_in_future", ((NOW_MS + 86_400_000) * 1_000_000, 5)),
        (2**62, 5, "time_in_future", (2**62, 5)),
        (-1, 5, "time_negative", (0, 5)),
        (START_NS, -1, "time_negative", (START_NS, 0)),
    ],
)
def test_impossible_times_are_flagged(start_ns: int, duration_ns: int, flag: str, kept: tuple[int, int]):
    event = decode_native(start_time_unix_nano=start_ns, duration_ns=duration_ns)
    assert event.flags == [flag]
    assert (event.start_time_unix_nano, event.duration_ns) == kept


def test_a_clock_a_little_ahead_is_not_flagged():
    assert decode_native(start_time_unix_nano=(NOW_MS + 200_000) * 1_000_000).flags == []

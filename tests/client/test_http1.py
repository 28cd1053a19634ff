"""Responses are read alike however the network cuts them; what is none is refused, never guessed at."""

import itertools

import pytest
from auditfuse_client.http1 import MAX_HEAD_BYTES, ResponseError, ResponseReader
from auditfuse_client.sse import Event, EventReader
from hypothesis import given
from hypothesis import strategies as st

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\ntrailer: x\r\n\r\n"
)
EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + PLAIN


def read(*parts, ends=False):
    reader = ResponseReader()
    body = b"".join(reader.feed(part) for part in parts if part)
    if ends:
        body += reader.feed(b"")
    return reader, body


@given(st.sampled_from([PLAIN, CHUNKED, EARLY]), st.lists(st.integers(1, 200), max_size=8))
def test_it_does_not_matter_where_a_response_is_cut(response, cuts):
    at = sorted({0, len(response), *(cut for cut in cuts if cut < len(response))})
    reader, body = read(*(response[a:b] for a, b in itertools.pairwise(at)))
    assert (reader.status, body, reader.is_done, reader.may_keep) == (200, b"hello", True, True)


def test_without_a_length_the_end_of_the_connection_ends_the_answer():
    reader, body = read(b"HTTP/1.0 200 OK\r\n\r\nhel", b"lo", ends=True)
    assert (body, reader.is_done, reader.may_keep) == (b"hello", True, False)


def test_a_status_without_a_body_is_done_at_once():
    reader, _ = read(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (reader.status, reader.is_done) == (204, True)


def test_a_connection_that_the_server_closes_is_not_kept():
    reader, _ = read(b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 0\r\n\r\n")
    assert reader.is_done and not reader.may_keep


@pytest.mark.parametrize("response", [PLAIN, CHUNKED])
def test_an_answer_that_is_cut_off_is_none(response):
    for length in range(len(response)):
        with pytest.raises(ResponseError):
            read(response[:length], ends=True)


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"x" * (MAX_HEAD_BYTES + 1),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1" * (MAX_HEAD_BYTES + 1),
    ],
    ids=lambda body: repr(body[:60]),
)
def test_garbage_is_refused(garbage):
    with pytest.raises(ResponseError):
        read(garbage)


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_no_bytes_break_the_reader(parts):
    try:
        read(b"HTTP/1.1 200 OK\r\n", *parts, ends=True)
    except ResponseError:
        return


def test_events_are_read_line_by_line():
    reader = EventReader(100)
    lines = [b": comment\n", b"event: state\r\n", b"data: {\r\n", b"data:}\n", b"id: 7\n", b"\r\n"]
    assert [reader.take(line) for line in lines][-1] == Event("state", b"{\n}")
    assert reader.take(b"\n") is None
    assert [reader.take(b"data: x\n"), reader.take(b"\n")] == [None, Event("message", b"x")]


def test_an_event_beyond_the_limit_is_refused():
    reader = EventReader(10)
    with pytest.raises(ValueError, match="too large"):
        for _ in range(3):
            reader.take(b"data: 12345\n")

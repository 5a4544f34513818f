"""Requests as they arrive, in pieces of any size, within limits."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.apps.acs.reading import Reading
from ringfence.apps.acs.wire import Limits

LIMITS = Limits(header_bytes=1000, headers=8, body_bytes=5000)
PLAIN = b"POST /acs HTTP/1.1\r\nHost: acs\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /acs HTTP/1.1\r\nHost: acs\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX: y\r\n\r\n"


def read(*pieces: bytes, limits: Limits = LIMITS) -> Reading:
    reading = Reading(limits)
    for piece in pieces:
        if reading.refusal is None and not reading.done:
            reading.feed(piece)
    return reading


def reason_of(*pieces: bytes) -> str:
    reading = read(*pieces)
    assert reading.refusal is not None
    assert not reading.done
    return reading.refusal.reason


@pytest.mark.parametrize("request_bytes", [PLAIN, CHUNKED])
@given(st.data())
def test_any_cut_gives_the_same_request(request_bytes: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(request_bytes)), max_size=6)))
    edges = [0, *cuts, len(request_bytes)]
    reading = read(*(request_bytes[a:b] for a, b in pairwise(edges)))
    assert reading.done
    assert reading.keep
    post = reading.post()
    assert (post.path, post.body, post.legacy) == ("/acs", b"hello", False)


def test_line_ends_before_and_behind_a_request_are_no_request() -> None:
    reading = read(b"\r\n" + PLAIN + b"\r\n")
    assert reading.done
    assert reading.keep


def test_a_second_request_in_the_same_bytes_is_not_read() -> None:
    reading = read(PLAIN + PLAIN.replace(b"hello", b"world"))
    assert reading.post().body == b"hello"
    assert not reading.keep


def test_http_1_0() -> None:
    assert not read(PLAIN.replace(b"1.1", b"1.0")).keep
    reading = read(PLAIN.replace(b"1.1", b"1.0").replace(b"Host: acs", b"Connection: keep-alive\r\nExpect: 100-continue"))
    assert reading.keep
    assert reading.legacy
    assert not reading.wants_continue


def test_a_device_that_expects_is_told_to_go_on() -> None:
    head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    assert read(head).wants_continue
    assert not read(head + b"hello").wants_continue


def test_a_header_without_end() -> None:
    assert reason_of(b"POST / HTTP/1.1\r\nX: ", *[b"a" * 100] * 20) == "header_too_large"
    assert reason_of(b"POST /", *[b"a" * 100] * 20) == "header_too_large"
    assert reason_of(b"POST / HTTP/1.1\r\nX: " + b"a" * 1000 + b"\r\n\r\n") == "header_too_large"
    assert reason_of(b"POST / HTTP/1.1\r\n" + b"X: y\r\n" * 9 + b"\r\n") == "header_too_large"


def test_a_body_without_end() -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert reason_of(head, *[b"64\r\n" + b"a" * 100 + b"\r\n"] * 100) == "body_too_large"
    assert reason_of(head, b"5;", *[b"x" * 500] * 20) in {"body_too_large", "not_http"}
    assert reason_of(head, b"0\r\n", *[b"X: y\r\n" * 100] * 20) in {"body_too_large", "not_http"}
    assert reason_of(b"POST / HTTP/1.1\r\nContent-Length: 5001\r\n\r\n") == "body_too_large"


@pytest.mark.parametrize(
    "smuggled",
    [
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length : 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nX\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_what_two_readers_could_read_in_two_ways(smuggled: bytes) -> None:
    assert reason_of(smuggled) in {"not_http", "header_repeated", "transfer_coding", "upgrade"}


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_no_bytes_raise(pieces: list[bytes]) -> None:
    read(*pieces)
    read(PLAIN[:40], *pieces)

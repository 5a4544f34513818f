"""What a request may be, and what a compressed body may become."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.apps.acs.wire import RefusedError, Reply, charset_of, check_head, encode, inflate, read_headers

MIB = 1024 * 1024


def refused(reason: str, *arguments: object, **named: object) -> None:
    with pytest.raises(RefusedError) as caught:
        check_head(*arguments, **{"body_bytes": MIB, **named})  # type: ignore[arg-type]
    assert caught.value.reason == reason


def test_any_plain_path_is_taken_and_a_query_left_aside() -> None:
    assert check_head(b"POST", b"/", {}, body_bytes=MIB) == "/"
    assert check_head(b"POST", b"/service/cwmp?id=1", {}, body_bytes=MIB) == "/service/cwmp"
    assert check_head(b"POST", b"http://acs.example.net:7547/acs", {}, body_bytes=MIB) == "/acs"
    assert check_head(b"POST", b"http://acs.example.net", {}, body_bytes=MIB) == "/"


@pytest.mark.parametrize("target", [b"*", b"acs", b"/../etc/passwd", b"/a%2e%2e/b", b"/" + b"a" * 256, b"/a\\b", b"/\xff", b""])
def test_a_path_that_plays_tricks_is_not_there(target: bytes) -> None:
    refused("path", b"POST", target, {})


def test_only_post_chunks_and_known_codings() -> None:
    refused("method", b"GET", b"/", {})
    refused("transfer_coding", b"POST", b"/", {"transfer-encoding": "gzip, chunked"})
    refused("content_coding", b"POST", b"/", {"content-encoding": "br"})
    refused("content_coding", b"POST", b"/", {"content-encoding": "gzip, gzip"})
    refused("expectation", b"POST", b"/", {"expect": "200-ok"})
    refused("content_length", b"POST", b"/", {"content-length": "+5"})
    refused("body_too_large", b"POST", b"/", {"content-length": str(MIB + 1)})


def test_headers_that_decide_come_once_and_cookies_are_joined() -> None:
    assert read_headers([(b"Cookie", b"a=1"), (b"COOKIE", b" b=2 "), (b"Host", b"x"), (b"host", b"y")]) == {
        "cookie": "a=1; b=2",
        "host": "x",
    }
    with pytest.raises(RefusedError) as caught:
        read_headers([(b"Authorization", b"Basic a"), (b"authorization", b"Digest b")])
    assert caught.value.reason == "header_repeated"


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [("text/xml; charset=ISO-8859-1", "ISO-8859-1"), ('text/xml;Charset="utf-8"', "utf-8"), ("text/xml", ""), ("text/xml; charset", "")],
)
def test_charset(content_type: str, charset: str) -> None:
    assert charset_of({"content-type": content_type}) == charset


@given(st.binary(max_size=5000))
def test_every_coding_gives_back_what_was_packed(plain: bytes) -> None:
    bare = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    for coding, packed in (
        ("gzip", gzip.compress(plain)),
        ("X-GZIP", gzip.compress(plain)),
        ("deflate", zlib.compress(plain)),
        ("identity", plain),
        ("", plain),
    ):
        assert inflate(packed, coding, limit=MIB) == plain
    raw = bare.compress(plain) + bare.flush()
    if not (raw[0] & 0x0F == 8 and int.from_bytes(raw[:2]) % 31 == 0):
        assert inflate(raw, "deflate", limit=MIB) == plain


def test_a_bomb_is_refused_before_it_is_inflated() -> None:
    bomb = gzip.compress(bytes(100 * MIB))
    assert len(bomb) < MIB
    with pytest.raises(RefusedError) as caught:
        inflate(bomb, "gzip", limit=4 * MIB)
    assert (caught.value.status, caught.value.reason) == (413, "compression_bomb")
    with pytest.raises(RefusedError):
        inflate(gzip.compress(bytes(MIB)), "gzip", limit=4 * MIB)  # 1,000 to one, though it is below the limit.


@pytest.mark.parametrize("packed", [b"\x1f\x8b", gzip.compress(b"abc")[:-4], gzip.compress(b"abc") + b"tail", b"plain text"])
def test_broken_packing_is_refused(packed: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        inflate(packed, "gzip", limit=MIB)
    assert caught.value.reason == "compressed_broken"


def test_a_reply_says_what_becomes_of_the_connection() -> None:
    assert encode(Reply(status=204), legacy=False, close=False) == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert b"Connection: keep-alive" in encode(Reply(status=200), legacy=True, close=False)
    closing = encode(Reply(status=503, headers=(("Retry-After", "60"),)), legacy=False, close=True)
    assert closing == b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 60\r\nConnection: close\r\n\r\n"

"""JSON-RPC over HTTP: in Kamailio's own bytes, byte by byte, and in nobody's."""

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import PeerError
from ringfence.enforcement.rpc import (
    MAX_HEAD_BYTES,
    HttpReply,
    MissingKeyError,
    ReplyReader,
    encode_request,
    entries_of,
    request_head,
    result_of,
    value_of,
)

# Captured from Kamailio 5.6.3.
SET = b'HTTP/1.1 200 OK\r\nSia: SIP/2.0/TCP 127.0.0.1:45250\r\nContent-Type: application/json\r\nServer: kamailio (5.6.3 (x86_64/linux))\r\nContent-Length: 71\r\n\r\n{\n\t"jsonrpc":\t"2.0",\n\t"result":\t"Ok. Key set to new value.",\n\t"id":\t1\n}'
MISSING = b'HTTP/1.1 500 Key name doesn\'t exist in htable.\r\nContent-Type: application/json\r\nContent-Length: 111\r\n\r\n{\n\t"jsonrpc":\t"2.0",\n\t"error":\t{\n\t\t"code":\t500,\n\t\t"message":\t"Key name doesn\'t exist in htable."\n\t},\n\t"id":\t1\n}'
DELETED = b'HTTP/1.1 404 Key not found in htable.\r\nContent-Length: 102\r\n\r\n{\n\t"jsonrpc":\t"2.0",\n\t"error":\t{\n\t\t"code":\t404,\n\t\t"message":\t"Key not found in htable."\n\t},\n\t"id":\t1\n}'
GOT = b'HTTP/1.1 200 OK\r\nContent-Length: 144\r\n\r\n{\n\t"jsonrpc":\t"2.0",\n\t"result":\t{\n\t\t"item":\t{\n\t\t\t"name":\t"epoch",\n\t\t\t"value":\t1763838112,\n\t\t\t"flags":\t0,\n\t\t\t"expire":\t"NEVER"\n\t\t}\n\t},\n\t"id":\t1\n}'
DUMP = 'HTTP/1.1 200 OK\r\nContent-Length: 308\r\n\r\n{\n\t"jsonrpc":\t"2.0",\n\t"result":\t[{\n\t\t\t"entry":\t3036,\n\t\t\t"size":\t1,\n\t\t\t"slot":\t[{\n\t\t\t\t\t"name":\t"a:al\\"ié",\n\t\t\t\t\t"value":\t"all|123|b-1",\n\t\t\t\t\t"type":\t"str"\n\t\t\t\t}]\n\t\t}, {\n\t\t\t"entry":\t3064,\n\t\t\t"size":\t1,\n\t\t\t"slot":\t[{\n\t\t\t\t\t"name":\t"a:bob",\n\t\t\t\t\t"value":\t"all|123|b-1",\n\t\t\t\t\t"type":\t"str"\n\t\t\t\t}]\n\t\t}],\n\t"id":\t1\n}'.encode()
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nWrong token\n"


@pytest.mark.parametrize("size", [1, 2, 7, 1000, 100_000])
def test_replies_come_out_in_order_however_they_are_cut(size: int) -> None:
    stream = SET + MISSING + DUMP + FORBIDDEN + GOT + DELETED
    reader = ReplyReader()
    replies = [reply for at in range(0, len(stream), size) for reply in reader.receive_data(stream[at : at + size])]
    assert [reply.status for reply in replies] == [200, 500, 200, 403, 200, 404]
    assert msgspec.json.decode(result_of(replies[0])) == "Ok. Key set to new value."
    with pytest.raises(MissingKeyError):
        result_of(replies[1])
    assert entries_of(result_of(replies[2])) == {'a:al"ié': "all|123|b-1", "a:bob": "all|123|b-1"}
    with pytest.raises(PeerError, match="token"):
        result_of(replies[3])
    assert value_of(result_of(replies[4])) == 1763838112
    with pytest.raises(MissingKeyError):
        result_of(replies[5])


@pytest.mark.parametrize(
    "stream",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * MAX_HEAD_BYTES,
    ],
)
def test_what_is_no_reply_is_refused(stream: bytes) -> None:
    with pytest.raises(PeerError):
        ReplyReader().receive_data(stream)


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_no_bytes_make_it_fail_in_another_way(chunks: list[bytes]) -> None:
    reader = ReplyReader()
    try:
        for chunk in chunks:
            for reply in reader.receive_data(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + chunk):
                entries_of(result_of(reply))
    except PeerError:
        pass


@given(st.binary(max_size=300))
def test_no_body_makes_it_fail_in_another_way(body: bytes) -> None:
    for read in (entries_of, value_of):
        with contextlib.suppress(PeerError):
            read(result_of(HttpReply(200, body)))


def test_keys_of_other_programs_do_not_hide_ours() -> None:
    body = b'{"jsonrpc":"2.0","result":[{"entry":1,"size":2,"slot":[{"name":"\xff\xfe","value":"x","type":"str"},{"name":"a:bob","value":"y","type":"str"}]}],"id":1}'
    assert entries_of(result_of(HttpReply(200, body)))["a:bob"] == "y"


def test_a_request_is_what_the_include_accepts() -> None:
    head = request_head("127.0.0.1:5065", "/rpc", "secret")
    request = encode_request("htable.setxs", ["rf_0", 'a:"é\\', "all|1|b-1", 60], head=head)
    start, _, body = request.partition(b"\r\n\r\n")
    assert start.startswith(b"POST /rpc HTTP/1.1\r\nHost: 127.0.0.1:5065\r\nX-Ringfence-Token: secret\r\n")
    assert f"Content-Length: {len(body)}".encode() in start
    assert body.startswith(b'{"jsonrpc":"2.0","method":"htable.setxs","params":["rf_0",')
    assert json.loads(body)["params"] == ["rf_0", 'a:"é\\', "all|1|b-1", 60]

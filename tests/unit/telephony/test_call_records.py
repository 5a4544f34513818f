import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError, PeerError
from ringfence.telephony.call_records import (
    check_column_map,
    read_asterisk,
    read_call,
    read_freeswitch,
    read_kamailio,
    read_registration,
)
from ringfence.telephony.model import DestinationClass, Direction, Flag, Kind
from tests.unit.telephony.wire import (
    NOW,
    PHONE,
    SERVER,
    Wire,
    agent,
    answered_call,
    challenged,
    invite,
    pipeline,
    with_credentials,
)

ROW = {
    "call_id": "c1", "account": "alice", "caller": "+4930123", "callee": "0023276123456", "source_ip": "192.0.2.1", "user_agent": "x",
    "edge": "e", "started_at": "2026-03-01T10:00:00Z", "answered_at": "2026-03-01T10:00:05.250Z", "ended_at": "1772359500", "status_code": "200",
}  # fmt: skip
START = 1_772_359_200_000


def reason(change: dict[str, str]) -> str:
    with pytest.raises(PeerError) as refusal:
        read_call({**ROW, **change})
    return refusal.value.reason


def test_a_call_record_is_read_with_iso_and_unix_times() -> None:
    record = read_call(ROW)
    assert (record.started_ms, record.answered_ms, record.ended_ms) == (START, START + 5_250, START + 300_000)
    assert record.authenticated
    assert record.direction == "out"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"call_id": ""}, "no_call_id"), ({"callee": ""}, "no_callee"), ({"started_at": ""}, "no_start"), ({"started_at": "soon"}, "bad_time"),
        ({"started_at": "1890-01-01"}, "bad_time"), ({"answered_at": "2026-03-01T09:00:00Z"}, "bad_order"),
        ({"ended_at": "2026-03-01T09:00:00Z"}, "bad_order"), ({"ended_at": "2026-05-01T09:00:00Z"}, "bad_order"),
        ({"status_code": "ok"}, "bad_number"), ({"status_code": "999"}, "bad_number"), ({"direction": "up"}, "bad_direction"),
        ({"authenticated": "perhaps"}, "bad_truth"), ({"callee": "1" * 2000}, "too_long"),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_is_refused_with_its_reason(change: dict[str, str], expected: str) -> None:
    assert reason(change) == expected


def test_a_record_gives_one_whole_row_and_only_for_the_accounts_own_call() -> None:
    found = pipeline()
    (row,) = found.receive_call_record(read_call(ROW), NOW)
    assert (row.kind, row.account, row.callee, row.flags, row.at_ms) == (Kind.CALL, "alice", "+23276123456", Flag.CDR, START)
    assert found.receive_call_record(read_call(ROW), NOW) == []
    for change in ({"authenticated": "false"}, {"account": ""}, {"account": "", "direction": "in"}):
        assert found.receive_call_record(read_call({**ROW, "call_id": str(change), **change}), NOW) == []
    (leg,) = found.receive_call_record(read_call({**ROW, "call_id": "f", "direction": "forwarded", "forwarded_by": "bob"}), NOW)
    assert (leg.account, leg.flags, leg.direction, leg.forwarded_by) == ("bob", Flag.CDR | Flag.FORWARDED, Direction.FORWARDED, "bob")
    assert found.refused == {"call_record_seen": 1, "call_record_not_charged": 3}


def test_a_record_of_an_inbound_call_tells_of_the_number_that_would_be_called_back() -> None:
    found = pipeline()
    inbound = {**ROW, "direction": "in", "caller": "+881612345678", "callee": "+4930123456", "answered_at": "", "status_code": "487"}
    (row,) = found.receive_call_record(read_call(inbound), NOW)
    assert (row.kind, row.account, row.caller, row.callee, row.direction) == (
        Kind.INBOUND,
        "alice",
        "+881612345678",
        "+4930123456",
        Direction.IN,
    )
    assert (row.destination_class, row.number_tail, row.ring_seconds) == (DestinationClass.C5, 678, (row.ended_ms - row.started_ms) // 1000)
    assert found.receive_call_record(read_call(inbound), NOW) == []
    (hidden,) = found.receive_call_record(read_call({**inbound, "call_id": "h", "caller": "anonymous"}), NOW)
    assert (hidden.range_key, hidden.rate) == (0, 0)
    (own,) = found.receive_call_record(read_call(ROW), NOW)
    assert own.kind == Kind.CALL, "an inbound leg does not suppress what the account paid for under the same Call-ID"


def test_an_agent_without_a_key_cannot_suppress_a_record() -> None:
    keyed, unkeyed = Wire(pipeline(agent())), Wire(pipeline(agent(trust="challenge", key=None)), key=None)
    keyed_call = invite(call_id="c1")
    answered_call(keyed, keyed_call)
    keyed.pass_time(50)
    forged = with_credentials(invite(call_id="c1"), account="alice", nonce="n1")
    unkeyed.sip(invite(call_id="c1", cseq=1), PHONE, SERVER)
    unkeyed.sip(challenged(invite(call_id="c1", cseq=1), "n1"), SERVER, PHONE)
    answered_call(unkeyed, forged)
    unkeyed.pass_time(50)
    assert "ATTEMPT" in keyed.kinds()
    assert "ATTEMPT" in unkeyed.kinds()
    assert keyed.to.receive_call_record(read_call(ROW), NOW) == []
    assert len(unkeyed.to.receive_call_record(read_call(ROW), NOW)) == 1


def test_kamailio_rows_need_a_column_map() -> None:
    columns = {"call_id": "callid", "account": "src_user", "callee": "dst_uri", "started_at": "start_time", "duration": "duration"}
    check_column_map(columns)
    row = {
        "id": 1,
        "callid": "k1",
        "src_user": b"alice",
        "dst_uri": "sip:0023276123456@x",
        "start_time": datetime(2026, 3, 1, 10, tzinfo=UTC),
        "duration": 12.5,
    }
    record = read_kamailio(row, columns, edge="db")
    assert (record.answered_ms, record.ended_ms, record.account, record.status_code) == (START, START + 12_500, "alice", 200)
    with pytest.raises(OperatorError, match="callee"):
        check_column_map({"call_id": "callid"})
    with pytest.raises(OperatorError, match="price"):
        check_column_map({**columns, "price": "x"})
    with pytest.raises(PeerError, match="duration"):
        read_kamailio({**row, "duration": "long"}, columns, edge="db")


def test_asterisk_lines_are_read_in_their_order() -> None:
    times = ["2026-03-01 10:00:00", "2026-03-01 10:00:05", "2026-03-01 10:05:00"]
    line = [
        "alice",
        "4930",
        "0023276123456",
        "out",
        '"A" <4930>',
        "SIP/alice-1",
        "SIP/trunk-2",
        "Dial",
        "",
        *times,
        "300",
        "295",
        "ANSWERED",
        "3",
        "u1",
    ]
    record = read_asterisk(line, edge="pbx")
    assert (record.call_id, record.answered_ms, record.ended_ms, record.status_code, record.trunk) == (
        "u1",
        START + 5_000,
        START + 300_000,
        200,
        "SIP/trunk",
    )
    missed = read_asterisk([*line[:14], "NO ANSWER", *line[15:]], edge="pbx")
    assert (missed.answered_ms, missed.status_code) == (0, 408)
    with pytest.raises(PeerError, match="16"):
        read_asterisk(line[:10], edge="pbx")


def test_freeswitch_documents_are_read_encoded_or_not() -> None:
    variables = {
        "uuid": "u", "sip_call_id": "fs%40host", "sip_auth_username": "alice", "destination_number": "0023276123456", "direction": "inbound",
        "start_uepoch": str(START * 1000), "answer_epoch": str(START // 1000 + 5), "end_epoch": str(START // 1000 + 300), "sip_network_ip": "192.0.2.7",
    }  # fmt: skip
    record = read_freeswitch(json.dumps({"variables": variables, "callflow": []}).encode(), edge="fs")
    assert (record.call_id, record.account, record.started_ms, record.ended_ms, record.direction) == (
        "fs@host",
        "alice",
        START,
        START + 300_000,
        "out",
    )
    for broken in (b"", b"[]", b'{"variables":[]}', b'{"variables":{}}'):
        with pytest.raises(PeerError):
            read_freeswitch(broken, edge="fs")


def test_registrations_are_read() -> None:
    row = {"at": "2026-03-01T10:00:00Z", "account": "alice", "expires": "3600", "status_code": "403", "auth_code": "-2"}
    assert (read_registration(row).at_ms, read_registration(row).auth_code) == (START, -2)
    for change in ({"at": ""}, {"account": ""}, {"status_code": "407"}, {"auth_code": "x"}, {"expires": "-1"}):
        with pytest.raises(PeerError):
            read_registration({**row, **change})


@given(st.dictionaries(st.sampled_from([*ROW, "direction", "ring_seconds"]), st.text(max_size=30)))
def test_no_fields_do_more_than_refuse(fields: dict[str, str]) -> None:
    with contextlib.suppress(PeerError):
        assert read_call({**ROW, **fields}).call_id

"""Calls that nobody dialled: forwarded by the server for an account, from trunks, asked for by REFER, and those that strangers only claim."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.protocols.sip import SipMessage, request, response
from ringfence.protocols.sip.messages import SipMessage as Message
from ringfence.telephony.forwarding import MAX_HISTORY, MAX_REFERRED, Referrals, is_loop
from ringfence.telephony.model import AccountRow, Direction, Flag, Kind, NetworkKind
from ringfence.telephony.networks import OwnNetworks
from tests.unit.telephony.wire import (
    GATEWAY,
    NOW,
    PHONE,
    SERVER,
    STRANGER,
    Wire,
    agent,
    answered_call,
    bye,
    hang_up,
    invite,
    pipeline,
    verdict,
)

TRUNK = ("203.0.113.200", 5060)
BOB = ("198.51.100.8", 5060)


def wire() -> Wire:
    """With the trunk among the peers, and bob registered."""
    found = Wire(pipeline())
    found.to.use_networks(OwnNetworks((("203.0.113.200/32", "peer"), ("198.51.100.0/24", "own_pool"))))
    register = request(
        "REGISTER", "sip:example.net", call_id="r1", from_uri="sip:4930555@example.net", from_tag="r", cseq=2, contact="sip:bob@x"
    )
    found.event(verdict(register, account="4930555", method="REGISTER"))
    found.rows.clear()
    return found


def with_headers(message: SipMessage, **headers: str | tuple[str, ...]) -> SipMessage:
    rows = {name.replace("_", "-"): (value,) if isinstance(value, str) else value for name, value in headers.items()}
    return msgspec.structs.replace(message, headers={**message.headers, **rows})


def to_bob(call_id: str = "in1", caller: str = "+881612345678") -> SipMessage:
    return invite("+4930555", call_id=call_id, account=caller)


def moved_on(message: SipMessage, number: str = "0023276123456", **headers: str) -> SipMessage:
    return with_headers(msgspec.structs.replace(message, request_uri=f"sip:{number}@example.net"), **headers)


def play(found: Wire, *steps: tuple[SipMessage, tuple[str, int], tuple[str, int]]) -> None:
    for message, source, destination in steps:
        found.sip(message, source, destination)


def legs(found: Wire) -> list[AccountRow]:
    return [row for row in found.rows if row.kind in (Kind.ATTEMPT, Kind.ANSWER, Kind.END)]


DIVERTED = "<sip:+4930555@example.net>;reason=unconditional"


def test_a_leg_that_the_server_diverted_is_the_forwarding_accounts() -> None:
    found = wire()
    call = to_bob()
    leg = moved_on(call, diversion=DIVERTED)
    ok = response(call, 200, to_tag="t1")
    play(found, (call, TRUNK, SERVER), (leg, SERVER, GATEWAY), (ok, GATEWAY, SERVER), (ok, SERVER, TRUNK))
    found.now += 60_000
    end = bye(call)
    play(found, (end, TRUNK, SERVER), (end, SERVER, GATEWAY), (response(end, 200), GATEWAY, SERVER), (response(end, 200), SERVER, TRUNK))
    assert found.kinds() == ["ATTEMPT", "ANSWER", "END", "INBOUND"]
    for row in legs(found):
        assert (row.account, row.forwarded_by, row.direction) == ("4930555", "4930555", Direction.FORWARDED)
        assert (row.callee, row.flags & Flag.FORWARDED, row.rate > 0) == ("+23276123456", Flag.FORWARDED, True)
    inbound = found.rows[-1]
    assert (inbound.account, inbound.caller, inbound.callee, inbound.direction) == (
        "4930555",
        "+881612345678",
        "+4930555",
        Direction.IN,
    )
    assert inbound.answered_ms > 0


def test_a_stranger_that_writes_a_diversion_charges_nobody() -> None:
    for source in (STRANGER, TRUNK):
        found = wire()
        call = moved_on(to_bob(), diversion=DIVERTED)
        ok = response(call, 200, to_tag="t1")
        play(found, (call, source, SERVER), (call, SERVER, GATEWAY), (ok, GATEWAY, SERVER), (ok, SERVER, source))
        assert legs(found) == []


def test_a_packet_with_our_own_address_as_source_charges_nobody() -> None:
    found = wire()
    answered_call(found, invite(call_id="known"))
    found.rows.clear()
    other = ("192.0.2.2", 5060)
    second = invite(call_id="second", account="carol")
    found.sip(second, PHONE, other)
    found.event(verdict(second, account="carol"))
    found.sip(second, other, GATEWAY)
    found.rows.clear()
    call = to_bob("spoofed")
    play(found, (call, STRANGER, SERVER), (moved_on(call, diversion=DIVERTED), SERVER, other))
    assert found.rows == []


def test_without_trust_nothing_is_forwarded() -> None:
    found = Wire(pipeline(agent(trust="none")))
    call = to_bob()
    play(found, (call, TRUNK, SERVER), (moved_on(call, diversion=DIVERTED), SERVER, GATEWAY))
    assert found.rows == []


def test_a_stranger_whose_call_an_account_forwards_is_charged_to_that_account() -> None:
    found = wire()
    call = to_bob(caller="anybody")
    history = "<sip:+4930555@example.net>;index=1, <sip:0023276123456@example.net>;index=1.1"
    leg = moved_on(call, history_info=history)
    play(found, (call, STRANGER, SERVER), (leg, SERVER, GATEWAY), (response(call, 200, to_tag="t1"), GATEWAY, SERVER))
    assert [(Kind(row.kind).name, row.account, row.direction) for row in found.rows] == [
        ("ATTEMPT", "4930555", 2),
        ("ANSWER", "4930555", 2),
    ]
    assert not found.rows[0].flags & Flag.USER_MISMATCH


def test_a_302_of_an_account_makes_its_next_leg_the_accounts() -> None:
    found = wire()
    call = invite("+4930555", call_id="m1", account="alice")
    found.sip(call, PHONE, SERVER)
    found.event(verdict(call))
    moved = with_headers(response(call, 302, to_tag="t9"), contact="<sip:0023276123456@example.net>")
    play(found, (call, SERVER, BOB), (moved, BOB, SERVER), (moved_on(call), SERVER, GATEWAY))
    ok = response(call, 200, to_tag="t1")
    play(found, (ok, GATEWAY, SERVER), (ok, SERVER, PHONE))
    hang_up(found, call)
    rows = [(Kind(row.kind).name, row.account, row.callee, row.direction) for row in found.rows]
    assert rows == [
        ("ATTEMPT", "alice", "+4930555", 0),
        ("ATTEMPT", "4930555", "+23276123456", 2),
        ("ANSWER", "4930555", "+23276123456", 2),
        ("ANSWER", "alice", "+4930555", 0),
        ("END", "4930555", "+23276123456", 2),
        ("END", "alice", "+4930555", 0),
    ]
    assert len({row.call_key for row in found.rows}) == 2


def test_a_302_of_somebody_who_was_not_asked_moves_nothing() -> None:
    found = wire()
    call = invite("+4930555", call_id="m1", account="alice")
    found.sip(call, PHONE, SERVER)
    found.event(verdict(call))
    moved = with_headers(response(call, 302, to_tag="t9"), contact="<sip:0023276123456@example.net>")
    play(found, (call, SERVER, BOB), (moved, STRANGER, SERVER), (moved_on(call), SERVER, GATEWAY))
    assert [row.account for row in found.rows] == ["alice"]


def test_an_account_that_forwards_by_itself_pays_as_for_any_call() -> None:
    found = wire()
    call = with_headers(invite(account="4930999", call_id="own"), diversion=DIVERTED)
    answered_call(found, call, account="4930555")
    assert {(row.account, row.direction, row.forwarded_by) for row in found.rows} == {("4930555", 2, "4930555")}
    assert not found.rows[0].flags & Flag.USER_MISMATCH


def test_a_refer_of_the_other_side_marks_the_call_that_it_asks_for_once() -> None:
    found = wire()
    call = to_bob()
    ok = response(call, 200, to_tag="t1")
    play(found, (call, TRUNK, SERVER), (call, SERVER, BOB), (ok, BOB, SERVER), (ok, SERVER, TRUNK))
    refer = with_headers(
        request("REFER", "sip:bob", call_id="in1", from_uri=call.from_uri, from_tag="f1", to_uri=call.to_uri, to_tag="t1", cseq=3),
        refer_to="<sip:0023276123456@example.net>",
    )
    found.sip(refer, TRUNK, SERVER)
    for place in range(2):
        asked = invite(call_id=f"asked{place}", account="4930555")
        found.sip(asked, BOB, SERVER)
        found.event(verdict(asked, account="4930555"))
        found.pass_time(50)
    first, second = found.rows
    assert first.flags & Flag.REFERRED
    assert (first.direction, first.forwarded_by) == (Direction.FORWARDED, "4930555")
    assert not second.flags & Flag.REFERRED


def test_an_account_that_refers_others_is_not_marked() -> None:
    found = wire()
    call = invite(call_id="o1", account="4930555")
    answered_call(found, call, account="4930555")
    refer = with_headers(
        request("REFER", "sip:x", call_id="o1", from_uri=call.from_uri, from_tag="f1", to_uri=call.to_uri, to_tag="t1", cseq=3),
        refer_to="<sip:0023276999999@example.net>",
    )
    found.sip(refer, PHONE, SERVER)
    asked = invite("0023276999999", call_id="o2", account="4930555")
    found.sip(asked, BOB, SERVER)
    found.event(verdict(asked, account="4930555"))
    found.pass_time(50)
    assert not found.rows[-1].flags & Flag.REFERRED


@pytest.mark.parametrize(
    ("diversion", "loop"),
    [
        ("<sip:1@x>, <sip:2@x>", False),
        ("<sip:1@x>, <sip:2@x>, <sip:1@x>", True),
        (", ".join(f"<sip:{number}@x>" for number in range(MAX_HISTORY)), False),
        (", ".join(f"<sip:{number}@x>" for number in range(MAX_HISTORY + 1)), True),
    ],
)
def test_a_loop_is_a_number_twice_or_too_many(diversion: str, loop: bool) -> None:
    call = with_headers(invite(), diversion=diversion)
    assert is_loop(call) is loop
    found = wire()
    answered_call(found, call)
    assert bool(found.rows[0].flags & Flag.FORWARD_LOOP) is loop


def test_an_inbound_call_that_only_rang_tells_how_long() -> None:
    found = wire()
    call = with_headers(to_bob(caller="anonymous"), p_asserted_identity="<sip:+881612345678@carrier>")
    ringing = response(call, 180, to_tag="t1")
    play(found, (call, TRUNK, SERVER), (call, SERVER, BOB), (ringing, BOB, SERVER))
    found.now += 4_000
    gone = response(call, 487, to_tag="t1")
    play(found, (gone, BOB, SERVER), (gone, SERVER, TRUNK))
    (row,) = found.rows
    assert (row.kind, row.account, row.caller, row.number_tail, row.status_code) == (Kind.INBOUND, "4930555", "+881612345678", 678, 487)
    assert (row.ring_seconds, row.answered_ms, row.network_kind) == (4, 0, NetworkKind.PEER)
    assert row.slot == row.account_key & 1023


def test_inbound_calls_cannot_crowd_out_the_accounts_own() -> None:
    found = Wire(pipeline(calls=10))
    found.to.use_networks(OwnNetworks((("203.0.113.200/32", "peer"),)))
    for number in range(20):
        call = to_bob(f"in{number}")
        play(found, (call, TRUNK, SERVER), (call, SERVER, BOB))
    assert found.to.open_calls == 5
    assert found.to.figures()["inbound_left_aside_total"] > 0
    found.pass_time(600_000)
    assert found.kinds() == ["INBOUND"] * 5
    found.pass_time(600_000)
    call = to_bob("again")
    play(found, (call, TRUNK, SERVER), (call, SERVER, BOB))
    assert found.to.open_calls == 1, "those that are over make room"


def test_legs_are_taken_up_after_a_restart() -> None:
    found = wire()
    call = invite("+4930555", call_id="m1", account="alice")
    found.sip(call, PHONE, SERVER)
    found.event(verdict(call))
    leg = moved_on(call, diversion=DIVERTED)
    ok = response(call, 200, to_tag="t1")
    play(found, (call, SERVER, BOB), (leg, SERVER, GATEWAY), (ok, GATEWAY, SERVER))
    again = Wire(pipeline())
    again.to.restore(found.rows)
    hang_up(again, call)
    assert sorted((Kind(row.kind).name, row.account) for row in again.rows) == [("END", "4930555"), ("END", "alice")]


def test_referrals_are_bounded_and_expire() -> None:
    referrals = Referrals()
    for number in range(MAX_REFERRED + 1):
        referrals.note("a", str(number), NOW)
    assert not referrals.take("a", "0", NOW)
    assert referrals.take("a", "1", NOW)
    assert not referrals.take("a", "2", NOW + 60_001)


@given(st.text(max_size=200))
def test_no_history_raises(text: str) -> None:
    message = Message("INVITE", "sip:x", 0, "c", "sip:a", "f", "sip:b", "", 1, {"diversion": (text,), "history-info": (text,)})
    is_loop(message)

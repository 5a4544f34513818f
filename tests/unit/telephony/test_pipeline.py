import random
import resource
import socket

import pytest

from ringfence.protocols.hep import PayloadType
from ringfence.protocols.sip import build, response
from ringfence.telephony.pipeline import SOURCE_ROWS_PER_SECOND
from tests.unit.telephony.wire import GATEWAY, PHONE, SERVER, Wire, agent, answered_call, hang_up, invite, pipeline, verdict


def test_mutated_datagrams_never_raise_and_are_counted() -> None:
    plain = Wire(pipeline())
    call = invite()
    answered_call(plain, call)
    hang_up(plain, call)
    chance = random.Random(4475)
    found = pipeline()
    originals = [datagram for datagram, _now in plain.sent]
    for number in range(20_000):
        datagram = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 8)):
            datagram[chance.randrange(len(datagram))] = chance.randrange(256)
        if number % 7 == 0:
            datagram = datagram[: chance.randrange(len(datagram))]
        found.receive(bytes(datagram), SERVER[0], plain.now + number)
    assert found.messages + sum(found.refused.values()) >= 20_000
    assert found.refused["bad_key"] > 0
    assert all(reason.islower() for reason in found.refused)


def test_each_refusal_is_counted_by_its_reason() -> None:
    wire = Wire(pipeline())
    wire.raw(b"", wire.now)
    wire.raw(b"HEP3", wire.now)
    wire.datagram(b"garbage", PHONE, SERVER)
    wire.datagram(b"{}", PHONE, SERVER, kind=PayloadType.LOG)
    wire.datagram(b"x", PHONE, SERVER, kind=5)
    assert wire.rows == []
    assert sum(wire.to.refused.values()) == 5
    assert wire.to.refused["other_payload"] == wire.to.refused["hlog_malformed"] == 1
    figures = wire.to.figures()
    assert figures["refused_other_payload_total"] == 1


def test_what_changes_no_row_is_counted_and_not_read() -> None:
    wire = Wire(pipeline())
    for payload in (
        b"OPTIONS sip:x SIP/2.0\r\n\r\n",
        b"\r\n\r\n",
        b"ACK sip:x SIP/2.0\r\n\r\n",
        b"SIP/2.0 100 Trying\r\n\r\n",
        b"REGISTER sip:x SIP/2.0\r\n\r\n",
    ):
        wire.datagram(payload, PHONE, SERVER)
    assert (wire.to.settled, sum(wire.to.refused.values())) == (5, 0)


def test_a_flood_of_refused_credentials_writes_a_bounded_number_of_rows() -> None:
    wire = Wire(pipeline())
    for number in range(3_000):
        wire.now = 1_790_000_000_000
        wire.event(verdict(invite(call_id=f"g{number}"), account=f"a{number}", code=-3, peer_ip=f"203.0.{number >> 8}.{number & 255}"))
    assert len(wire.rows) == SOURCE_ROWS_PER_SECOND
    assert wire.to.refused["source_rows_shed"] == 3_000 - SOURCE_ROWS_PER_SECOND


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_million_invented_names_and_sources_stay_within_bounds() -> None:
    found = pipeline(invites=65_536, accounts=1_000_000, calls=400_000)
    wire = Wire(found)
    wire.sip(invite(call_id="x--------", account="a--------"), PHONE, SERVER)
    (datagram, now), address = wire.sent[0], socket.inet_aton(PHONE[0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(1_000_000):
        invented = datagram.replace(b"--------", b"%08d" % number).replace(address, (0x0A000000 + number).to_bytes(4))
        assert found.receive(invented, SERVER[0], now) == []
    assert found.messages == 1_000_001
    assert found.figures()["unproven_invites"] == 65_536
    assert found.figures()["open_calls"] == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000


def test_unkeyed_and_unknown_agents_get_no_clock_and_no_tracker() -> None:
    found = pipeline(agent())
    wire = Wire(found, source="203.0.113.9")
    for number in range(500):
        wire.source = f"203.0.113.{number % 250}"
        wire.event(verdict(invite(call_id=f"x{number}")))
    assert found.refused["unknown_agent"] == 500
    assert len(found._clocks) == 1


@pytest.mark.parametrize("padding", [b"\r\n", b"\0", b" ", b"\t", b"\r\n\r\n"])
def test_no_byte_before_a_message_hides_a_call(padding: bytes) -> None:
    plain, padded = Wire(pipeline()), Wire(pipeline())
    for wire, before in ((plain, b""), (padded, padding)):
        for place, account in enumerate(("alice", "bob")):
            message = invite(call_id=f"c{place}@phone", account=account)
            wire.datagram(before + build(message), PHONE, SERVER)
            wire.datagram(before + build(message), SERVER, GATEWAY)
            wire.event(verdict(message, account=account))
            wire.datagram(before + build(response(message, 200, to_tag="t1")), GATEWAY, SERVER)
            wire.datagram(before + build(response(message, 200, to_tag="t1")), SERVER, PHONE)
        wire.pass_time(50)
    assert plain.kinds().count("ANSWER") == 2
    assert padded.kinds() == plain.kinds()

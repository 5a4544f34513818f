"""What rows say of where a request came from, and the rows of requests that nobody's credentials stand behind."""

from ringfence.protocols.hep import PayloadType
from ringfence.protocols.sip import SipMessage, build, request, response
from ringfence.telephony.hlog import encode_event
from ringfence.telephony.model import Flag, Kind, NetworkKind
from ringfence.telephony.networks import OwnNetworks, read_origins
from ringfence.telephony.pipeline import SOURCE_ROWS_PER_SECOND, Pipeline
from tests.unit.telephony.test_forwarding import play, with_headers
from tests.unit.telephony.wire import (
    DECK,
    EMERGENCY,
    GATEWAY,
    HEP_KEY,
    KEY,
    PHONE,
    PLAN,
    SERVER,
    STRANGER,
    Wire,
    agent,
    answered_call,
    challenged,
    hang_up,
    invite,
    pipeline,
    verdict,
    with_credentials,
)


def test_every_row_of_a_call_says_where_the_account_was_used_and_with_what() -> None:
    found = Pipeline(
        key=KEY,
        agents=(agent(),),
        plan=PLAN,
        emergency=EMERGENCY,
        deck=DECK,
        origins=(read_origins(["198.51.100.0/24\t64500\tSL"]),),
    )
    wire = Wire(found)
    call = invite()
    answered_call(wire, call)
    hang_up(wire, call)
    assert {(row.network, row.source_country, row.network_kind) for row in wire.rows} == {("AS64500", 0x534C, 0)}
    assert len({(row.source_key, row.network_key, row.family_key) for row in wire.rows}) == 1
    assert all(row.source_key and row.network_key and row.family_key for row in wire.rows)
    assert not any(row.flags & (Flag.SCANNER | Flag.USER_MISMATCH) for row in wire.rows)
    found.use_networks(OwnNetworks((("198.51.100.0/24", "own_pool"),)))
    register = request("REGISTER", "sip:x", call_id="r", from_uri="sip:alice@example.net", from_tag="r", cseq=2, user_agent="Phone/2")
    wire.event(verdict(register, method="REGISTER", user_agent="Phone/2"))
    assert (wire.rows[-1].network_kind, wire.rows[-1].source_country) == (NetworkKind.OWN_POOL, 0x4445)
    assert wire.rows[-1].family_key == wire.rows[0].family_key


def test_what_an_agent_without_a_key_says_stands_under_another_source_key() -> None:
    keys = []
    for found in (Wire(pipeline()), Wire(pipeline(agent(key=None)), key=None)):
        found.event(verdict(invite(), code=-2))
        keys.append(found.rows[0].source_key)
    assert len(set(keys)) == 2
    assert all(keys)


def test_a_name_that_is_not_the_accounts_is_marked() -> None:
    wire = Wire(pipeline())
    answered_call(wire, invite(account="mallory"))
    assert wire.rows[0].flags & Flag.USER_MISMATCH
    spelled = Wire(pipeline())
    answered_call(spelled, invite(account="+493012345678"), account="03012345678")
    assert not spelled.rows[0].flags & Flag.USER_MISMATCH, "the same number in another spelling"


def test_a_used_nonce_and_a_foreign_name_in_the_credentials_are_told_apart() -> None:
    wire = Wire(pipeline())
    for number, code in enumerate((-2, -3, -6, -8, -5)):
        wire.event(verdict(invite(call_id=f"c{number}"), code=code))
    assert [(row.status_code, row.flags) for row in wire.rows] == [
        (401, 0),
        (404, 0),
        (0, Flag.NONCE_REUSED),
        (403, Flag.USER_MISMATCH),
    ]
    assert all(row.kind == Kind.AUTH_FAILURE and row.source_key and not row.account_key for row in wire.rows)


def test_a_refused_stranger_is_a_row_of_its_source_once() -> None:
    wire = Wire(pipeline())
    call = invite("900441234567890", account="100")
    for _ in range(2):
        play(wire, (call, STRANGER, SERVER), (response(call, 404, to_tag="x"), SERVER, STRANGER))
    (row,) = wire.rows
    assert (row.kind, row.status_code, row.source_ip, row.callee, row.account_key) == (
        Kind.UNAUTHENTICATED,
        404,
        STRANGER[0],
        "+900441234567890",
        0,
    )
    assert row.slot == row.source_key & 1023


def test_a_challenge_that_nobody_answers_is_a_row_and_one_that_a_phone_answers_is_none() -> None:
    wire = Wire(pipeline())
    for number, follows in enumerate((False, True)):
        first = invite(call_id=f"c{number}", cseq=1)
        play(wire, (first, STRANGER, SERVER), (challenged(first, "n1"), SERVER, STRANGER))
        if follows:
            again = with_credentials(invite(call_id=f"c{number}", cseq=2), account="alice", nonce="n1")
            wire.sip(again, STRANGER, SERVER)
    assert wire.rows == []
    wire.pass_time(2_500)
    assert [(row.kind, row.call_id, row.status_code) for row in wire.rows] == [(Kind.UNAUTHENTICATED, "c0", 407)]


def test_an_accepted_call_leaves_no_row_of_a_stranger() -> None:
    wire = Wire(pipeline())
    first = invite(cseq=1)
    play(wire, (first, PHONE, SERVER), (challenged(first, "n1"), SERVER, PHONE))
    answered_call(wire, invite(cseq=2))
    wire.pass_time(5_000)
    assert Kind.UNAUTHENTICATED not in [row.kind for row in wire.rows]


def test_refusals_that_say_nothing_of_a_stranger_are_no_rows() -> None:
    wire = Wire(pipeline())
    wire.to.use_networks(OwnNetworks(((f"{STRANGER[0]}/32", "peer"),)))
    call = invite("49309999999999", account="trunk")
    play(wire, (call, STRANGER, SERVER), (response(call, 404, to_tag="x"), SERVER, STRANGER))
    wire.to.use_networks(OwnNetworks())
    emergency, relayed, forged = invite("112", call_id="e"), invite(call_id="r"), invite(call_id="f")
    play(
        wire,
        (emergency, STRANGER, SERVER),
        (response(emergency, 404, to_tag="x"), SERVER, STRANGER),
        (relayed, STRANGER, SERVER),
        (relayed, SERVER, GATEWAY),
        (response(relayed, 486, to_tag="x"), GATEWAY, SERVER),
        (response(relayed, 486, to_tag="x"), SERVER, STRANGER),
        (forged, STRANGER, SERVER),
        (response(forged, 404, to_tag="x"), ("203.0.113.9", 5060), SERVER),
    )
    assert wire.rows == []


def test_scanners_are_rows_even_of_requests_that_are_not_read_otherwise() -> None:
    wire = Wire(pipeline())
    for method in ("OPTIONS", "REGISTER"):
        for agent_text in ("friendly-scanner", "FRITZ!OS"):
            scan = request(
                method, "sip:100@192.0.2.1", call_id=f"{method}{agent_text}", from_uri="sip:100@1.1.1.1", from_tag="s", cseq=1,
                user_agent=agent_text,
            )  # fmt: skip
            for _ in range(2):
                wire.datagram(build(scan), STRANGER, SERVER)
    assert [(row.kind, row.flags, row.source_ip) for row in wire.rows] == [(Kind.UNAUTHENTICATED, Flag.SCANNER, STRANGER[0])] * 2
    call = with_headers(invite(call_id="i"), user_agent="sipcli/v1.8")
    play(wire, (call, STRANGER, SERVER), (response(call, 403, to_tag="x"), SERVER, STRANGER))
    assert wire.rows[-1].flags & Flag.SCANNER


def test_a_flood_of_strangers_writes_a_bounded_number_of_rows() -> None:
    wire = Wire(pipeline(invites=10_000))
    for number in range(1_500):
        call = invite(call_id=f"f{number}")
        for message, source, destination in ((call, STRANGER, SERVER), (response(call, 403, to_tag="x"), SERVER, STRANGER)):
            wire.now -= 1
            wire.sip(message, source, destination)
    assert len(wire.rows) == SOURCE_ROWS_PER_SECOND
    assert wire.to.refused["source_rows_shed"] == 500


# ----- answers that were not seen -----


def unanswered(wire: Wire) -> None:
    """INVITE, verdict, relay; the mirror loses the 200."""
    call = invite()
    wire.sip(call, PHONE, SERVER)
    wire.event(verdict(call))
    wire.sip(with_branch(call, "server"), SERVER, GATEWAY)


def with_branch(message: SipMessage, branch: str) -> SipMessage:
    return with_headers(message, via=f"SIP/2.0/UDP x;branch=z9hG4bK{branch}")


def ack(branch: str, *, to_tag: str = "t1", from_tag: str = "f1", uri: str = "sip:gateway@192.0.2.9", cseq: int = 2) -> bytes:
    message = request(
        "ACK", uri, call_id="c1@phone", from_uri="sip:alice@example.net", from_tag=from_tag, to_uri="sip:x", to_tag=to_tag, cseq=cseq
    )
    return build(with_branch(message, branch))


def test_an_ack_of_its_own_transaction_stands_in_for_a_lost_answer() -> None:
    wire = Wire(pipeline())
    unanswered(wire)
    for wrong in (ack("server"), ack("new", from_tag="x"), ack("new", to_tag=""), ack("new", cseq=7)):
        wire.datagram(wrong, PHONE, SERVER)
    assert wire.kinds() == ["ATTEMPT"]
    wire.datagram(ack("new"), PHONE, SERVER)
    wire.datagram(ack("new"), PHONE, SERVER)
    assert wire.kinds() == ["ATTEMPT", "ANSWER"]
    settled = wire.to.settled
    wire.datagram(ack("new"), PHONE, SERVER)
    assert wire.to.settled == settled + 1, "of an answered call an ACK is not read"
    assert wire.to.figures()["answer_inferred_total"] == 1


def test_an_answer_that_its_ack_overtook_changes_nothing() -> None:
    wire = Wire(pipeline())
    unanswered(wire)
    wire.datagram(ack("new"), PHONE, SERVER)
    ok = response(invite(), 200, to_tag="t1")
    play(wire, (ok, GATEWAY, SERVER), (ok, SERVER, PHONE))
    hang_up(wire, invite())
    assert wire.kinds() == ["ATTEMPT", "ANSWER", "END"]


def test_a_bye_that_was_agreed_to_stands_in_for_a_lost_answer_and_its_ack() -> None:
    wire = Wire(pipeline())
    unanswered(wire)
    wire.sip(response(invite(), 180, to_tag="t1"), GATEWAY, SERVER)
    rang = wire.now
    wire.now += 60_000
    hang_up(wire, invite(), by_callee=True)
    assert wire.kinds() == ["ATTEMPT", "ANSWER", "END"]
    answer, end = wire.rows[1:]
    assert answer.answered_ms == rang
    assert end.ended_ms - end.answered_ms >= 60_000
    assert end.status_code == 200


def test_an_ack_from_an_agent_without_trust_in_calls_opens_nothing() -> None:
    wire = Wire(pipeline())
    wire.datagram(ack("new"), STRANGER, SERVER)
    wire.datagram(b"ACK sip:x SIP/2.0\r\nCall-ID:\r\n\r\n", STRANGER, SERVER)
    wire.datagram(b"ACK sip:x SIP/2.0\nCall-ID: \xff\xfe", STRANGER, SERVER)
    assert wire.rows == []
    assert wire.to.settled == 3


def test_a_verdict_event_is_read_whatever_it_calls_its_agent() -> None:
    wire = Wire(pipeline(), key=HEP_KEY)
    wire.datagram(encode_event(verdict(invite(), user_agent="\u202efriendly-scanner")), SERVER, SERVER, kind=PayloadType.LOG)
    wire.pass_time(50)
    assert wire.rows[0].flags & Flag.SCANNER

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.protocols.sip import SipMessage, request, response
from ringfence.telephony.calls import RING_MS, SESSION_GRACE_MS, SILENCE_MS
from ringfence.telephony.dialogs import CHECK_MS, HOLD_MS, LINGER_MS, SeenCalls
from ringfence.telephony.model import DestinationClass, Flag, Kind
from tests.unit.telephony.wire import (
    GATEWAY,
    PHONE,
    SERVER,
    STRANGER,
    Wire,
    agent,
    answered_call,
    bye,
    challenged,
    hang_up,
    invite,
    pipeline,
    verdict,
    with_credentials,
)


def test_a_call_gives_attempt_answer_and_end_once() -> None:
    wire = Wire(pipeline())
    call = invite()
    answered_call(wire, call)
    wire.now += 60_000
    hang_up(wire, call)
    assert wire.kinds() == ["ATTEMPT", "ANSWER", "END"]
    attempt, answer, end = wire.rows
    assert (attempt.account, attempt.callee, attempt.caller, attempt.source_ip) == ("alice", "+23276123456", "alice", PHONE[0])
    assert (attempt.destination_class, attempt.rate, attempt.number_tail) == (DestinationClass.C4, 580_000, 456)
    assert attempt.call_key == answer.call_key == end.call_key != 0
    assert attempt.slot == attempt.account_key & 1023
    assert attempt.started_ms == answer.started_ms == end.started_ms == attempt.at_ms
    assert answer.answered_ms == end.answered_ms == answer.at_ms
    assert 60_000 <= end.ended_ms - end.answered_ms <= 60_010
    assert (end.status_code, attempt.credential, attempt.user_agent, attempt.edge) == (200, "new", "Phone/1", "kamailio-1")
    assert attempt.received_ms >= attempt.at_ms


def test_a_verdict_alone_is_enough_after_the_hold() -> None:
    wire = Wire(pipeline())
    wire.event(verdict(invite()))
    assert wire.rows == []
    assert wire.to.next_timeout() == wire.now + HOLD_MS
    assert wire.pass_time(HOLD_MS) != []
    assert wire.kinds() == ["ATTEMPT"]


def test_an_attempt_that_our_block_refuses_is_no_attempt() -> None:
    wire = Wire(pipeline())
    for cseq in (2, 3, 4):
        call = invite(cseq=cseq)
        wire.sip(call, PHONE, SERVER)
        wire.event(verdict(call))
        wire.event(verdict(call, event="blocked", code=603, block_id="b-1"))
        wire.event(verdict(call, event="blocked", code=603, block_id="b-1"))
        wire.sip(response(call, 603, to_tag="x"), SERVER, PHONE)
        wire.pass_time(1_000)
    assert wire.kinds() == ["BLOCKED"] * 3
    assert {(row.status_code, row.contact, row.account, row.callee) for row in wire.rows} == {(603, "b-1", "alice", "+23276123456")}


def test_a_block_told_late_still_ends_the_attempt() -> None:
    wire = Wire(pipeline())
    call = invite()
    wire.event(verdict(call))
    wire.pass_time(HOLD_MS)
    wire.event(verdict(call, event="blocked", code=603, block_id="b-1"))
    wire.sip(response(call, 603), SERVER, PHONE)
    assert wire.kinds() == ["ATTEMPT", "BLOCKED", "END"]


def test_a_block_of_a_source_names_no_account() -> None:
    wire = Wire(pipeline())
    for _ in range(3):
        wire.event(verdict(invite(), account="", event="blocked", code=603, block_id="b-2"))
    assert [(row.kind, row.account, row.account_key, row.contact) for row in wire.rows] == [(Kind.BLOCKED, "", 0, "b-2")]


def test_the_407_round_trip_is_one_attempt() -> None:
    wire = Wire(pipeline())
    first = invite(cseq=1)
    wire.sip(first, PHONE, SERVER)
    wire.sip(challenged(first, "n1"), SERVER, PHONE)
    answered_call(wire, invite(cseq=2))
    assert wire.kinds() == ["ATTEMPT", "ANSWER"]


@pytest.mark.parametrize("status", [403, 404, 408, 480, 486, 487, 500, 503, 600, 603])
def test_a_refused_attempt_ends_with_its_status(status: int) -> None:
    wire = Wire(pipeline())
    call = invite()
    wire.sip(call, PHONE, SERVER)
    wire.event(verdict(call))
    wire.sip(call, SERVER, GATEWAY)
    wire.sip(response(call, status, to_tag="t1"), GATEWAY, SERVER)
    assert wire.kinds() == ["ATTEMPT"], "one fork's refusal ends nothing"
    wire.sip(response(call, status, to_tag="t1"), SERVER, PHONE)
    assert wire.kinds() == ["ATTEMPT", "END"]
    assert (wire.rows[-1].status_code, wire.rows[-1].answered_ms) == (status, 0)


def test_forks_refuse_and_answer() -> None:
    wire = Wire(pipeline())
    call = invite()
    second = ("192.0.2.10", 5080)
    wire.sip(call, PHONE, SERVER)
    wire.event(verdict(call))
    wire.sip(call, SERVER, GATEWAY)
    wire.sip(call, SERVER, second)
    wire.sip(response(call, 486, to_tag="busy"), GATEWAY, SERVER)
    wire.sip(response(call, 200, to_tag="t2"), second, SERVER)
    wire.sip(response(call, 200, to_tag="t2"), SERVER, PHONE)
    assert wire.kinds() == ["ATTEMPT", "ANSWER"]


def test_a_call_with_two_answering_forks_lives_until_both_ended() -> None:
    wire = Wire(pipeline())
    call = invite()
    answered_call(wire, call)
    wire.sip(response(call, 200, to_tag="t2"), SERVER, PHONE)
    for cseq, tag in ((3, "t2"), (4, "t1")):
        assert wire.kinds() == ["ATTEMPT", "ANSWER"]
        end = bye(call, to_tag=tag, cseq=cseq)
        wire.sip(end, PHONE, SERVER)
        wire.sip(response(end, 200), SERVER, PHONE)
    assert wire.kinds() == ["ATTEMPT", "ANSWER", "END"]


def test_an_answer_after_a_refusal_was_sent_back_revives_the_call() -> None:
    wire = Wire(pipeline())
    call = invite()
    wire.sip(call, PHONE, SERVER)
    wire.event(verdict(call))
    wire.sip(response(call, 480), SERVER, PHONE)
    wire.sip(response(call, 200, to_tag="t1"), SERVER, PHONE)
    assert wire.kinds() == ["ATTEMPT", "END", "ANSWER"]
    hang_up(wire, call)
    assert wire.kinds() == ["ATTEMPT", "END", "ANSWER", "END"]


@pytest.mark.parametrize("by_callee", [False, True])
def test_either_side_may_hang_up(by_callee: bool) -> None:
    wire = Wire(pipeline())
    call = invite()
    answered_call(wire, call)
    hang_up(wire, call, by_callee=by_callee)
    assert wire.kinds() == ["ATTEMPT", "ANSWER", "END"]


def test_a_bye_without_its_answer_ends_nothing() -> None:
    wire = Wire(pipeline())
    call = invite()
    answered_call(wire, call)
    wire.sip(bye(call), PHONE, SERVER)
    wire.sip(response(bye(call), 481), SERVER, PHONE)
    assert wire.kinds() == ["ATTEMPT", "ANSWER"]


def test_a_stranger_cannot_end_or_answer_a_call_by_sending_responses_to_the_server() -> None:
    wire = Wire(pipeline())
    call = invite()
    wire.sip(call, PHONE, SERVER)
    wire.event(verdict(call))
    wire.sip(call, SERVER, GATEWAY)
    for status in (180, 200, 486):
        wire.sip(response(call, status, to_tag="t1"), STRANGER, SERVER)
    assert wire.kinds() == ["ATTEMPT"]
    answered_call(wire, call)
    wire.sip(bye(call), PHONE, SERVER)
    wire.sip(response(bye(call), 200), STRANGER, SERVER)
    wire.sip(response(bye(call), 200), PHONE, SERVER)
    assert wire.kinds() == ["ATTEMPT", "ANSWER"]
    assert wire.to.figures()["answer_from_elsewhere_total"] == 5
    made_up = bye(call, to_tag="guess", cseq=9)
    wire.sip(made_up, STRANGER, SERVER)
    wire.sip(response(made_up, 200), SERVER, STRANGER)
    assert wire.kinds() == ["ATTEMPT", "ANSWER"]


def test_a_reinvite_is_a_sign_of_life_and_no_attempt() -> None:
    wire = Wire(pipeline())
    call = invite()
    answered_call(wire, call)
    again = invite(cseq=7, to_tag="t1")
    wire.sip(again, PHONE, SERVER)
    wire.event(verdict(again, to_tag="t1"))
    wire.sip(response(again, 200), SERVER, PHONE)
    from_callee = request("INVITE", "sip:phone", call_id=call.call_id, from_uri="sip:x@y", from_tag="t1", to_tag="f1", cseq=1)
    wire.sip(from_callee, GATEWAY, SERVER)
    wire.sip(response(from_callee, 488), SERVER, GATEWAY)
    assert wire.kinds() == ["ATTEMPT", "ANSWER"]


def test_silence_ends_a_call_at_its_last_sign_of_life() -> None:
    wire = Wire(pipeline())
    answered_call(wire, invite())
    alive = wire.rows[-1].answered_ms
    wire.pass_time(SILENCE_MS - 60_000)
    assert wire.kinds() == ["ATTEMPT", "ANSWER"]
    wire.pass_time(60_000 + CHECK_MS + 2_000)
    end = wire.rows[-1]
    assert wire.kinds() == ["ATTEMPT", "ANSWER", "END"]
    assert end.flags & Flag.SILENT_END
    assert alive <= end.ended_ms <= alive + 5
    wire.pass_time(LINGER_MS + CHECK_MS + 2_000)
    assert wire.to.open_calls == 0


def test_a_session_timer_ends_a_call_sooner_and_a_refresh_keeps_it() -> None:
    wire = Wire(pipeline())
    call = invite()
    wire.sip(call, PHONE, SERVER)
    wire.event(verdict(call))
    answer = response(call, 200, to_tag="t1")
    answer.headers["session-expires"] = ("600;refresher=uac",)
    wire.sip(answer, SERVER, PHONE)
    wire.pass_time(500_000)
    update = request("UPDATE", "sip:x", call_id=call.call_id, from_uri="sip:a@b", from_tag="f1", to_tag="t1", cseq=5)
    wire.sip(update, PHONE, SERVER)
    refreshed = wire.now
    wire.pass_time(500_000)
    assert wire.kinds() == ["ATTEMPT", "ANSWER"]
    wire.pass_time(100_000 + SESSION_GRACE_MS + CHECK_MS + 2_000)
    assert wire.kinds() == ["ATTEMPT", "ANSWER", "END"]
    assert wire.rows[-1].ended_ms == refreshed


def test_an_attempt_without_any_answer_is_given_up() -> None:
    wire = Wire(pipeline())
    wire.event(verdict(invite()))
    wire.pass_time(RING_MS + CHECK_MS + 2_000)
    assert wire.kinds() == ["ATTEMPT", "END"]
    assert wire.rows[-1].ended_ms == wire.rows[-1].started_ms


def test_dialog_events_answer_and_end_a_call() -> None:
    wire = Wire(pipeline())
    call = invite()
    wire.event(verdict(call))
    wire.event(verdict(call, event="dialog_start", to_tag="t1"))
    wire.event(verdict(call, event="dialog_start", to_tag="t1"))
    wire.event(verdict(call, event="dialog_end", from_tag="t1", to_tag="f1"))
    wire.event(verdict(call, event="dialog_end", to_tag="t1"))
    assert wire.kinds() == ["ATTEMPT", "ANSWER", "END"]


def test_an_emergency_call_is_written_in_class_c0_without_a_price() -> None:
    wire = Wire(pipeline())
    answered_call(wire, invite("112"))
    assert {(row.destination_class, row.rate, row.connect_micro, row.flags) for row in wire.rows} == {(0, 0, 0, 0)}


def test_one_call_id_for_many_calls_hides_none() -> None:
    wire = Wire(pipeline())
    for place in range(5):
        answered_call(wire, invite(f"002327612345{place}", cseq=2 + place))
    for place in range(5):
        answered_call(wire, invite(f"002327612346{place}", tag=f"other{place}", cseq=2))
    attempts = [row for row in wire.rows if row.kind == Kind.ATTEMPT]
    assert len(attempts) == 10
    assert len({row.call_key for row in attempts}) == 10
    assert len({row.callee for row in attempts}) == 10


def test_a_retried_call_is_another_attempt() -> None:
    wire = Wire(pipeline())
    for cseq in (2, 3):
        call = invite(cseq=cseq)
        wire.sip(call, PHONE, SERVER)
        wire.event(verdict(call))
        wire.sip(response(call, 503), SERVER, PHONE)
    assert wire.kinds() == ["ATTEMPT", "END"] * 2


def test_two_capture_points_and_retransmissions_change_nothing() -> None:
    second = agent("kamailio-2", source="192.0.2.2")
    wire = Wire(pipeline(agent(), second))
    call = invite()
    answered_call(wire, call)
    hang_up(wire, call)
    rows = list(wire.rows)
    for datagram, now in list(wire.sent):
        wire.raw(datagram, now + 50)
        wire.rows += wire.to.receive(datagram, "192.0.2.2", now + 60)
    assert wire.rows == rows


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_duplicates_in_any_place_change_nothing(data: st.DataObject) -> None:
    plain = Wire(pipeline())
    for place in range(2):
        call = invite(f"00232761234{place}0", call_id=f"c{place}")
        answered_call(plain, call)
        hang_up(plain, call)
    repeated = Wire(pipeline())
    for place, (datagram, now) in enumerate(plain.sent):
        repeated.raw(datagram, now)
        for earlier in data.draw(st.lists(st.integers(0, place), max_size=2)):
            repeated.raw(plain.sent[earlier][0], now)
    assert [(row.kind, row.call_key) for row in repeated.rows] == [(row.kind, row.call_key) for row in plain.rows]


@given(st.permutations(range(14)))
@settings(max_examples=60, deadline=None)
def test_no_order_gives_a_row_twice_or_without_its_verdict(order: list[int]) -> None:
    plain = Wire(pipeline())
    call = invite()
    answered_call(plain, call)
    hang_up(plain, call)
    shuffled = Wire(pipeline())
    for place in order:
        if place < len(plain.sent):
            shuffled.raw(plain.sent[place][0], plain.now)
    shuffled.now = plain.now
    shuffled.pass_time(HOLD_MS)
    found = shuffled.kinds()
    assert found.count("ATTEMPT") == 1
    assert found.count("ANSWER") <= 1
    assert found[0] == "ATTEMPT"


# ----- believed: nobody is framed -----


def test_a_strangers_invites_are_nobodys() -> None:
    wire = Wire(pipeline())
    for place in range(20):
        call = invite(call_id=f"s{place}", account="victim")
        wire.sip(with_credentials(call, account="victim", nonce="made-up"), STRANGER, SERVER)
        wire.sip(challenged(call, "n"), SERVER, STRANGER)
        wire.sip(call, SERVER, GATEWAY)
        wire.sip(response(call, 200, to_tag="t"), GATEWAY, SERVER)
        wire.sip(response(call, 200, to_tag="t"), SERVER, STRANGER)
    wire.pass_time(10_000)
    assert wire.rows == []


def test_refused_credentials_count_against_their_source_alone() -> None:
    wire = Wire(pipeline())
    for code in (-2, -3, -8):
        wire.event(verdict(invite(call_id=f"g{code}"), account="victim", code=code, peer_ip=STRANGER[0]))
        wire.event(verdict(invite(call_id=f"g{code}"), account="victim", code=code, peer_ip=STRANGER[0]))
    for code in (-4, -5):
        wire.event(verdict(invite(call_id=f"g{code}"), account="victim", code=code))
    assert wire.kinds() == ["AUTH_FAILURE"] * 3
    assert {(row.account, row.account_key, row.source_ip) for row in wire.rows} == {("", 0, STRANGER[0])}
    assert [row.status_code for row in wire.rows] == [401, 404, 403]


@pytest.mark.parametrize("trust", ["challenge", "none"])
def test_events_of_agents_without_that_trust_are_refused(trust: str) -> None:
    wire = Wire(pipeline(agent(trust=trust)))
    wire.event(verdict(invite(), account="victim"))
    wire.event(verdict(invite(), account="victim", code=-2))
    wire.pass_time(1_000)
    assert wire.rows == []
    assert wire.to.refused["event_without_trust"] == 2


def test_hep_from_a_stranger_or_with_a_wrong_key_is_nothing() -> None:
    wire = Wire(pipeline(), source=STRANGER[0])
    answered_call(wire, invite())
    wire.source, wire.key = SERVER[0], None
    answered_call(wire, invite())
    wire.pass_time(1_000)
    assert wire.rows == []
    assert set(wire.to.refused) == {"unknown_agent", "no_key"}
    assert wire.to.messages == 0


def test_an_agent_without_a_key_touches_nothing_of_the_real_account() -> None:
    bare = agent("bare", key=None, source="192.0.2.77")
    tracked = pipeline(agent(), bare)
    real, forged = Wire(tracked), Wire(tracked, key=None, source="192.0.2.77")
    call = invite()
    answered_call(real, call)
    forged.now = real.now
    answered_call(forged, call)
    hang_up(forged, call)
    assert real.kinds() == ["ATTEMPT", "ANSWER"]
    assert forged.kinds() == ["ATTEMPT", "ANSWER", "END"]
    assert all(row.flags & Flag.UNKEYED for row in forged.rows)
    assert {row.account_key for row in forged.rows}.isdisjoint({row.account_key for row in real.rows})
    assert {row.call_key for row in forged.rows}.isdisjoint({row.call_key for row in real.rows})
    real.now = forged.now
    hang_up(real, call)
    assert real.kinds() == ["ATTEMPT", "ANSWER", "END"]


def asterisk() -> Wire:
    return Wire(pipeline(agent("asterisk", trust="challenge")))


def challenge_round(
    wire: Wire, *, nonce: str = "n1", used: str = "n1", account: str = "alice", source: tuple[str, int] = PHONE
) -> SipMessage:
    first = invite(cseq=1, account=account)
    wire.sip(first, source, SERVER)
    wire.sip(challenged(first, nonce), SERVER, source)
    second = with_credentials(invite(cseq=2, account=account), account=account, nonce=used)
    wire.sip(second, source, SERVER)
    return second


def test_an_answered_challenge_makes_the_attempt_the_accounts() -> None:
    wire = asterisk()
    call = challenge_round(wire)
    wire.sip(response(call, 100), SERVER, PHONE)
    assert wire.rows == []
    wire.sip(response(call, 180, to_tag="t1"), SERVER, PHONE)
    wire.sip(response(call, 200, to_tag="t1"), SERVER, PHONE)
    hang_up(wire, call)
    assert wire.kinds() == ["ATTEMPT", "ANSWER", "END"]
    assert (wire.rows[0].account, wire.rows[0].source_ip, wire.rows[0].at_ms) == ("alice", PHONE[0], wire.rows[0].started_ms)


@pytest.mark.parametrize("status", [401, 403, 407])
def test_a_refused_answer_is_a_failure_of_its_source(status: int) -> None:
    wire = asterisk()
    call = challenge_round(wire, account="victim", source=STRANGER)
    refusal = challenged(call, "n2", status=status) if status != 403 else response(call, 403)
    wire.sip(refusal, SERVER, STRANGER)
    wire.sip(refusal, SERVER, STRANGER)
    assert wire.kinds() == ["AUTH_FAILURE"]
    assert (wire.rows[0].account, wire.rows[0].account_key, wire.rows[0].source_ip) == ("", 0, STRANGER[0])


def test_a_stale_nonce_is_no_failure() -> None:
    wire = asterisk()
    call = challenge_round(wire)
    wire.sip(challenged(call, "n2", stale=True), SERVER, PHONE)
    third = with_credentials(invite(cseq=3), account="alice", nonce="n2")
    wire.sip(third, PHONE, SERVER)
    wire.sip(response(third, 180, to_tag="t1"), SERVER, PHONE)
    assert wire.kinds() == ["ATTEMPT"]


def test_another_nonce_from_or_uri_than_was_challenged_proves_nothing() -> None:
    for change in ({"used": "other"}, {"from_uri": "sip:victim@elsewhere.example"}, {"request_uri": "sip:0088161@example.net"}):
        wire = asterisk()
        first = invite(cseq=1, account="victim")
        wire.sip(first, STRANGER, SERVER)
        wire.sip(challenged(first, "n1"), SERVER, STRANGER)
        nonce = change.pop("used", "n1")
        second = with_credentials(invite(cseq=2, account="victim"), account="victim", nonce=nonce)
        second = msgspec.structs.replace(second, **change)
        wire.sip(second, STRANGER, SERVER)
        wire.sip(response(second, 180, to_tag="t"), SERVER, STRANGER)
        wire.sip(response(second, 200, to_tag="t"), SERVER, STRANGER)
        assert wire.rows == []


def test_a_challenge_that_the_callee_made_proves_nothing() -> None:
    """The fraudster calls his own phone, which challenges; the server only relays that. The name in the answer is the victim's."""
    wire = asterisk()
    first = invite(cseq=1, account="victim")
    wire.sip(first, STRANGER, SERVER)
    wire.sip(first, SERVER, GATEWAY)
    wire.sip(challenged(first, "n1"), GATEWAY, SERVER)
    wire.sip(challenged(first, "n1"), SERVER, STRANGER)
    second = with_credentials(invite(cseq=2, account="victim"), account="victim", nonce="n1")
    wire.sip(second, STRANGER, SERVER)
    wire.sip(second, SERVER, GATEWAY)
    for status in (180, 200):
        wire.sip(response(second, status, to_tag="t"), GATEWAY, SERVER)
        wire.sip(response(second, status, to_tag="t"), SERVER, STRANGER)
    assert wire.rows == []


# ----- bounds -----


def test_a_flood_of_invented_invites_stays_within_bounds_and_harms_no_call() -> None:
    wire = Wire(pipeline(invites=500))
    call = invite()
    answered_call(wire, call)
    for place in range(5_000):
        wire.sip(invite(call_id=f"x{place}", account=f"a{place}"), (f"203.0.{place >> 8}.{place & 255}", 5060), SERVER)
    assert wire.to.figures()["unproven_invites"] <= 500
    hang_up(wire, call)
    assert wire.kinds() == ["ATTEMPT", "ANSWER", "END"]
    wire.pass_time(600_000)
    assert wire.to.figures()["unproven_invites"] == 0


def test_too_many_calls_end_the_oldest_silently_and_say_so() -> None:
    wire = Wire(pipeline(calls=10))
    for place in range(15):
        answered_call(wire, invite(call_id=f"c{place}"))
    assert wire.to.open_calls == 10
    assert wire.kinds().count("END") == 5
    assert wire.to.figures()["call_evicted_total"] == 5


def test_running_calls_are_taken_up_after_a_restart() -> None:
    before = Wire(pipeline())
    running, over = invite(call_id="running"), invite(call_id="over")
    answered_call(before, running)
    answered_call(before, over)
    hang_up(before, over)
    after = Wire(pipeline(), now=before.now)
    after.to.restore(before.rows)
    assert after.to.open_calls == 1
    hang_up(after, running)
    assert after.kinds() == ["END"]
    assert after.rows[0].call_key == before.rows[0].call_key
    assert after.rows[0].answered_ms == before.rows[1].answered_ms


def test_what_was_seen_is_forgotten_in_generations() -> None:
    seen = SeenCalls(capacity=100)
    for key in range(1_000):
        seen.add(key)
    assert 999 in seen
    assert 960 in seen
    assert 100 not in seen

"""Standings: what refuses comes before what grants, whatever else is true."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ringfence.fleet.binding import Known, Rules, judge
from ringfence.fleet.lifecycle import Life
from ringfence.fleet.model import InformSeen, Lane, LineSeen, Proof, Standing, names_of
from ringfence.protocols.cwmp.messages import DeviceId

DEVICE = DeviceId("AVM", "00040E", "FRITZ Box/7", "A1")
OWN = names_of(DEVICE)[0]


def seen(proof: Proof = Proof.DIGEST, name: str = OWN, lane: Lane = Lane.MANAGED) -> InformSeen:
    return InformSeen(device=DEVICE, peer_ip="192.0.2.1", lane=lane, proof=proof, proven_name=name, at_ms=1)


KNOWN = st.none() | st.builds(Known, device_id=st.just(7), life=st.sampled_from(Life), line=st.sampled_from(["", "L1", "L2"]))
AT = st.none() | st.builds(LineSeen, line=st.sampled_from(["L1", "L2"]))
RULES = st.builds(Rules, trust_unproven=st.booleans(), release_without_feed=st.booleans())
SEEN = st.builds(seen, st.sampled_from(Proof), st.sampled_from([OWN, names_of(DEVICE)[1], "00040E-B2", ""]), st.sampled_from(Lane))


def test_user_names_are_percent_encoded() -> None:
    assert names_of(DEVICE) == ("00040E-A1", "00040E-FRITZ%20Box%2F7-A1")


@given(SEEN, KNOWN, AT, st.booleans(), RULES)
def test_managed_needs_proof_line_life_and_lane(
    inform: InformSeen, known: Known | None, at: LineSeen | None, taken: bool, rules: Rules
) -> None:
    verdict = judge(inform, known, at, taken, rules)
    if verdict.standing is not Standing.MANAGED:
        assert verdict.reason, "whoever gets less is told why"
        return
    assert known is not None
    assert known.life not in {Life.REPLACED, Life.LOST, Life.IN_STOCK}
    assert inform.lane is Lane.MANAGED
    assert inform.proven_name in names_of(DEVICE) if inform.proof is not Proof.NONE else rules.trust_unproven
    assert known.line == at.line if at else known.line and rules.release_without_feed


@given(KNOWN, AT, st.booleans(), RULES, st.sampled_from([Proof.BASIC, Proof.DIGEST, Proof.CERTIFICATE]))
def test_ones_own_credential_opens_nobody_elses_device(
    known: Known | None, at: LineSeen | None, taken: bool, rules: Rules, proof: Proof
) -> None:
    verdict = judge(seen(proof, "00040E-B2"), known, at, taken, rules)
    assert (verdict.standing, verdict.reason) == (Standing.REFUSED, "identity_mismatch")


def test_a_device_on_another_line_than_its_own_gets_nothing_and_says_so() -> None:
    verdict = judge(seen(), Known(device_id=7, life=Life.MANAGED, line="L2"), LineSeen(line="L1"), False, Rules())
    assert (verdict.standing, verdict.reason, verdict.occurrence) == (Standing.UNBOUND, "other_line", None)


def test_an_unknown_serial_on_a_line_waits_for_a_person() -> None:
    assert judge(seen(), None, LineSeen(line="L1"), True, Rules()).reason == "line_has_another_device"
    assert judge(seen(), None, LineSeen(line="L1"), False, Rules()).standing is Standing.REPLACEMENT_PENDING


def test_the_bootstrap_lane_serves_an_unproven_device_on_its_own_line_and_no_other() -> None:
    known, unproven = Known(device_id=7, life=Life.SHIPPED, line="L1"), replace(seen(Proof.NONE, ""), lane=Lane.BOOTSTRAP)
    assert judge(unproven, known, LineSeen(line="L1"), False, Rules()).reason == "bootstrap_lane"
    assert judge(unproven, known, LineSeen(line="L2"), False, Rules()).reason == "other_line"
    assert judge(unproven, known, None, False, Rules()).reason == "no_session_of_address"
    assert judge(unproven, None, LineSeen(line="L1"), False, Rules()).standing is Standing.REPLACEMENT_PENDING
    assert judge(seen(Proof.NONE, ""), known, LineSeen(line="L1"), False, Rules()).reason == "not_proven"


def test_a_name_that_two_identities_share_speaks_for_the_one_whose_credential_it_is() -> None:
    known, line = Known(device_id=7, life=Life.MANAGED, line="L1"), LineSeen(line="L1")
    assert judge(replace(seen(), proven_device=7), known, line, False, Rules()).standing is Standing.MANAGED
    verdict = judge(replace(seen(), proven_device=8), known, line, False, Rules())
    assert (verdict.standing, verdict.reason) == (Standing.REFUSED, "identity_mismatch")

"""Words for what other rooms name by a code."""

from itertools import product

from ringfence.apps.console.words import STANDINGS
from ringfence.fleet.binding import Known, Rules, judge
from ringfence.fleet.lifecycle import Life
from ringfence.fleet.model import InformSeen, Lane, LineSeen, Proof, names_of
from ringfence.protocols.cwmp.messages import DeviceId

DEVICE = DeviceId("AVM", "00040E", "FRITZ", "A1")


def test_every_reason_why_a_device_stands_as_it_does_has_words_and_no_words_are_left_over() -> None:
    known = [None, *(Known(device_id=7, life=life, line=line) for life, line in product(Life, ("", "L1", "L2")))]
    reasons = {
        judge(
            InformSeen(device=DEVICE, peer_ip="192.0.2.1", lane=lane, proof=proof, proven_name=name, at_ms=1), device, at, taken, Rules()
        ).reason
        for lane, proof, name, device, at, taken in product(
            Lane, (Proof.NONE, Proof.DIGEST), (names_of(DEVICE)[0], "other"), known, (None, LineSeen(line="L1")), (False, True)
        )
    }
    assert reasons - {""} == set(STANDINGS)

import msgspec
import pytest

from ringfence.telephony.suspicion import Measure, Suspicion, decode_suspicion, encode_suspicion


def test_a_suspicion_comes_back_as_itself() -> None:
    suspicion = Suspicion(
        suspicion_id="a-1.2",
        alert_id="a-1",
        rule="D09",
        rule_version=1,
        mode="act",
        account="4930123",
        measures=(Measure(scope="class", value="4930123", destination_class=3),),
        level=2,
        score=80,
        observed=6,
        threshold=6,
        cost_micro=1_000_000,
        calls=("c1", "c2"),
        reason="6 calls",
        at_ms=5,
    )
    assert decode_suspicion(encode_suspicion(suspicion)) == suspicion


@pytest.mark.parametrize("payload", [b"{}", b"[]", b'{"mode":"shoot"}'])
def test_what_is_not_a_suspicion_is_refused(payload: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_suspicion(payload)

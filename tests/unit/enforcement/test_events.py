"""Announcements: one subject per change, the whole entry inside."""

import pytest

from ringfence.base.errors import PeerError
from ringfence.enforcement.events import BlockImposed, BreakerOpened, decode_event, encode_event, subject_of
from ringfence.enforcement.model import Approval, Breaker, Exemption
from ringfence.enforcement.table import event_of
from tests.unit.enforcement.samples import block


def test_an_event_survives_the_wire() -> None:
    event = BlockImposed(block=block())
    assert decode_event(encode_event(event)) == event
    assert subject_of(event, 17) == "event.enforcement.block_imposed.b-1.17"


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b'{"type":"block_imposed"}', b"\xff", b'{"type":"breaker_reset","breaker":{"kind":"account","reset_by":"\xff"}}'],
)
def test_anything_else_is_a_peer_error(payload: bytes) -> None:
    with pytest.raises(PeerError):
        decode_event(payload)


def test_each_state_of_an_entry_has_its_announcement() -> None:
    exemption = Exemption(exemption_id="x-1", scope="account", value="a", owner="o", until_ms=9, reason="r", author="anna", created_ms=1)
    names = [
        subject_of(event, 1).split(".")[2]
        for record in (block(), exemption, Approval(proposal_id="p-1", by="anna", at_ms=1), Breaker(kind="source", opened_ms=4))
        if (event := event_of(record)) is not None
    ]
    assert names == ["block_imposed", "exemption_made", "approval_given", "breaker_opened"]
    assert isinstance(event_of(Breaker(kind="account", opened_ms=1)), BreakerOpened)

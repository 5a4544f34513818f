"""Packets that a real Kamailio 5.6.3 sent (siptrace with a key, and hlog): read, and written again."""

from pathlib import Path

import pytest

from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret
from ringfence.protocols.hep import PayloadType, decode, encode
from ringfence.protocols.sip import parse

CORPUS = Path(__file__).parents[2] / "corpus" / "hep"


@pytest.mark.parametrize(
    ("name", "source_port", "destination_port", "payload_type", "correlation_id"),
    [
        ("kamailio-5.6-invite", 15962, 15960, PayloadType.SIP, ""),
        ("kamailio-5.6-603", 15960, 15962, PayloadType.SIP, ""),
        ("kamailio-5.6-hlog", 15960, 15961, PayloadType.LOG, "corr-id"),
    ],
)
def test_packets_of_kamailio(name: str, source_port: int, destination_port: int, payload_type: int, correlation_id: str) -> None:
    packet = decode((CORPUS / f"{name}.dat").read_bytes())
    assert (packet.source_ip, packet.source_port, packet.destination_port) == ("127.0.0.1", source_port, destination_port)
    assert (packet.family, packet.transport, packet.capture_id) == (2, 17, 2001)
    assert (packet.payload_type, packet.correlation_id) == (payload_type, correlation_id)
    assert packet.auth_key == Secret("s3cret-of-the-agent")
    assert packet.at_ms // 1000 == packet.seconds
    assert decode(encode(packet)) == packet


def test_the_call_in_them() -> None:
    invite, refusal = (parse(decode((CORPUS / f"kamailio-5.6-{name}.dat").read_bytes()).payload) for name in ("invite", "603"))
    assert (invite.method, invite.request_uri, invite.to_tag) == ("INVITE", "sip:+23222333444@127.0.0.1:15960", "")
    assert (refusal.method, refusal.status_code, refusal.user_agent) == ("INVITE", 603, "kamailio (5.6.3 (x86_64/linux))")
    assert (refusal.call_id, refusal.from_tag, refusal.branch) == (invite.call_id, invite.from_tag, invite.branch)
    assert refusal.to_tag


def test_a_real_packet_cut_or_with_a_byte_changed_reads_or_is_refused() -> None:
    raw = (CORPUS / "kamailio-5.6-hlog.dat").read_bytes()
    refused = 0
    for at in range(len(raw)):
        for damaged in (raw[:at], raw[:at] + bytes([raw[at] ^ 0xFF]) + raw[at + 1 :]):
            try:
                decode(damaged)
            except PeerError:
                refused += 1
    assert refused > len(raw)

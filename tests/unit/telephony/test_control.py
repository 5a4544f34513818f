import msgspec
import pytest

from ringfence.telephony.control import (
    MAX_RECORDS,
    AccountChanged,
    BlockReleased,
    ComposedChanged,
    ControlRecord,
    HolidaysChanged,
    NetworksChanged,
    RatesChanged,
    RuleSetChanged,
    decode_control,
    encode_control,
)

EVERY: list[ControlRecord] = [
    AccountChanged(account="4930123", account_key=-5, slot=7, segment="business", channels=8, since_ms=1, sensitivity=40),
    RuleSetChanged(version=3, toml="x"),
    RatesChanged(version=2, csv="prefix"),
    HolidaysChanged(days=("2026-12-25",), time_zone="Europe/Berlin"),
    NetworksChanged(version=1, networks=(("192.0.2.0/24", "own_pool"),)),
    BlockReleased(block_id="b-1", alert_id="a-1", account="4930123", scope="class", at_ms=9, by="anna"),
    ComposedChanged(rule_id="X-night", version=2, toml="[rule.night]", state="probation"),
]


def test_every_record_comes_back_as_itself() -> None:
    assert decode_control(encode_control(EVERY)) == EVERY


def test_a_message_is_bounded() -> None:
    with pytest.raises(ValueError, match="10000"):
        encode_control([EVERY[0]] * (MAX_RECORDS + 1))


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x91\x80", encode_control(EVERY)[:-1]])
def test_what_was_not_written_by_us_is_refused(payload: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_control(payload)

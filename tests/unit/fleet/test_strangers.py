"""Shares of unknown devices: of an address, of a /64, of all, and their refilling."""

from hypothesis import given
from hypothesis import strategies as st

from ringfence.fleet.strangers import HOUR_MS, Strangers


def entered(strangers: Strangers, addresses: list[str], now_ms: int = 0) -> int:
    return sum(strangers.may_enter(address, now_ms) for address in addresses)


def test_an_address_has_its_share_an_hour_and_leaves_the_others_theirs() -> None:
    strangers = Strangers(per_address=3, in_all=100, now_ms=0)
    assert entered(strangers, ["203.0.113.7"] * 10) == 3
    assert entered(strangers, ["203.0.113.8"] * 10) == 3
    assert entered(strangers, ["203.0.113.7"] * 10, HOUR_MS // 3) == 1, "it refills evenly"
    assert entered(strangers, ["203.0.113.7"] * 10, 9 * HOUR_MS) == 3, "and never above an hour's"


def test_a_line_with_a_whole_64_is_one_address() -> None:
    strangers = Strangers(per_address=2, in_all=100, now_ms=0)
    assert entered(strangers, [f"2001:db8:0:1::{number:x}" for number in range(1, 9)]) == 2
    assert entered(strangers, ["2001:db8:0:2::1"]) == 1


def test_all_together_have_a_share_and_this_machine_has_no_other() -> None:
    strangers = Strangers(per_address=2, in_all=10, now_ms=0)
    assert entered(strangers, ["127.0.0.1"] * 8) == 8
    assert entered(strangers, [f"203.0.113.{number}" for number in range(100)]) == 2
    assert entered(strangers, ["::1"] * 2) == 0


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 600_000)), max_size=200), st.integers(1, 9), st.integers(1, 50))
def test_never_more_than_the_shares_whoever_comes_when(visits: list[tuple[int, int]], per_address: int, in_all: int) -> None:
    strangers = Strangers(per_address=per_address, in_all=in_all, now_ms=0)
    now = total = 0
    for number, pause in visits:
        now += pause
        total += strangers.may_enter(f"198.51.100.{number}", now)
    assert total <= in_all + now * in_all / HOUR_MS

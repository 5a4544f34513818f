from hypothesis import given
from hypothesis import strategies as st

from ringfence.telephony.hot_numbers import MAX_REMEMBERED_RANGES, Allocations, HotNumbers, read_hot_numbers
from ringfence.telephony.model import Flag
from ringfence.telephony.pricing import Pricing
from tests.unit.telephony.wire import DECK, EMERGENCY, KEY, PLAN

LIST = ["number;country", "+232 76 123-456;SL", "23276123457", "# comment", "", "881612345678", "soon", "0049123456789"]


def test_a_listed_number_and_the_thousand_of_two() -> None:
    hot = read_hot_numbers(LIST)
    assert (len(hot), hot.ranges, dict(hot.refused)) == (3, 1, {"bad_number": 2})
    assert hot.flags("23276123456") == Flag.LISTED_NUMBER | Flag.LISTED_RANGE
    assert hot.flags("23276123999") == Flag.LISTED_RANGE
    assert hot.flags("23276124456") == 0
    assert hot.flags("881612345678") == Flag.LISTED_NUMBER
    assert hot.flags("881612345999") == 0, "one number makes no range"
    assert hot.flags("anonymous") == hot.flags("") == hot.flags("1" * 20) == 0
    assert HotNumbers().flags("23276123456") == 0


def test_a_range_that_nobody_was_given_is_unallocated_and_memory_is_bounded() -> None:
    plans = Allocations()
    assert plans.flags("23276123456") == 0
    assert plans.flags("999123456789") == Flag.UNALLOCATED
    for number in range(MAX_REMEMBERED_RANGES + 10):
        plans.flags(f"9991{number:06d}123")
    assert len(plans._remembered) <= MAX_REMEMBERED_RANGES


def test_prices_carry_what_lists_say_of_numbers_abroad_and_of_no_others() -> None:
    pricing = Pricing(key=KEY, plan=PLAN, emergency=EMERGENCY, deck=DECK, hot=HotNumbers(["23276123456", "4930123456", "112"]))
    assert pricing.price("sip:0023276123456@x").flags & Flag.LISTED_NUMBER
    assert not pricing.price("sip:004930123456@x").flags & Flag.LISTED_NUMBER
    assert pricing.price("sip:112@x").flags == 0
    assert pricing.price("sip:00999123456789@x").flags & Flag.UNALLOCATED
    assert not pricing.price("sip:0023276123456@x").flags & Flag.UNALLOCATED


@given(st.lists(st.text(max_size=40), max_size=20), st.text(max_size=20))
def test_no_line_and_no_number_raises(lines: list[str], digits: str) -> None:
    read_hot_numbers(lines).flags(digits)
    Allocations().flags(digits)

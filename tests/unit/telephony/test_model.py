from hypothesis import given
from hypothesis import strategies as st

from ringfence.telephony.model import account_key_of, account_slot, call_key_of, country_code, country_letters, number_key_of

KEY = b"k" * 16


@given(st.text())
def test_an_agent_without_a_key_never_reaches_the_counters_of_the_real_account(account: str) -> None:
    assert account_key_of(KEY, account, keyed=True) != account_key_of(KEY, account, keyed=False)
    assert 0 <= account_slot(account_key_of(KEY, account, keyed=True)) < 1024


def test_sequential_numbers_share_their_range() -> None:
    first, second, other = (number_key_of(KEY, digits) for digits in ("23278123001", "23278123999", "23278124001"))
    assert first[0] == second[0] != other[0]
    assert (first[1], second[1]) == (1, 999)


def test_what_is_no_number_has_no_tail() -> None:
    assert number_key_of(KEY, "alice")[1] == 0
    assert number_key_of(KEY, "²³¹")[1] == 0
    assert number_key_of(KEY, "")[1] == 0


def test_countries_are_two_letters_or_nothing() -> None:
    assert country_letters(country_code("sl")) == "SL"
    assert country_code("DEU") == country_code("é1") == country_code("") == 0
    assert country_letters(0) == ""


def test_calls_have_keys_of_their_own() -> None:
    assert call_key_of(KEY, "a") != call_key_of(KEY, "b")

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError
from ringfence.telephony.numbers import E164_DIGITS, plan_for, split_uri

GERMANY = plan_for("DE", ["30", "331"])
AMERICA = plan_for("US", ["212"])
ITALY = plan_for("IT")


@pytest.mark.parametrize(
    ("uri", "digits"),
    [
        ("sip:+4930123456@example.net", "4930123456"),
        ("sip:004930123456@example.net", "4930123456"),
        ("sip:030123456@example.net;user=phone", "4930123456"),
        ("sip:123456@example.net", "49123456"),
        ("sip:23456@example.net", "493023456"),
        ("tel:+49-30-123.456", "4930123456"),
        ("tel:(030) 123 456", "4930123456"),
        ("sip:%2B4930123456@example.net", "4930123456"),
        ("sip:0023276123456@example.net:5060;transport=udp", "23276123456"),
        ("tel:23456;phone-context=+49331", "4933123456"),
        ("tel:030123456;phone-context=+49", "4930123456"),
        ("sip:0123456;phone-context=+43@example.net", "43123456"),
        ("sip:00432345678;phone-context=+44@example.net", "432345678"),
        ("sip:23456;phone-context=example.net@example.net", "493023456"),
        ("sip:11833@example.net", "4911833"),
        ("sip:116117@example.net", "49116117"),
        ("sip:23276123456@example.net", "23276123456"),
        ("sip:+4930123456:secret@example.net", "4930123456"),
        ("sip:alice@example.net", ""),
        ("sip:*100@example.net", ""),
        ("sip:192.0.2.1", ""),
        ("sip:[2001:db8::1]", ""),
        ("urn:service:sos", ""),
        ("", ""),
        ("sip:@example.net", ""),
        ("sip:" + "9" * 2000 + "@example.net", ""),
        ("sip:٠٣٠١٢٣@example.net", ""),
    ],
)
def test_every_form_of_a_number_in_germany(uri: str, digits: str) -> None:
    assert GERMANY.of_uri(uri) == digits


@pytest.mark.parametrize(
    ("dialled", "digits"),
    [("12125551234", "12125551234"), ("2125551234", "12125551234"), ("5551234", "12125551234"), ("01123276123456", "23276123456")],
)
def test_a_plan_with_one_national_length(dialled: str, digits: str) -> None:
    assert AMERICA.e164(dialled) == digits


def test_a_plan_without_a_national_prefix_keeps_the_zero() -> None:
    assert ITALY.e164("0612345678") == "390612345678"
    assert ITALY.e164("0023276123456") == "23276123456"


def test_digits_beyond_the_fifteenth_reach_nobody_and_hide_nothing() -> None:
    assert GERMANY.e164("0023276123456" + "7" * 20) == "232761234567777"
    assert len(GERMANY.e164("+" + "1" * 100)) == E164_DIGITS


@given(st.text(max_size=60))
def test_what_comes_out_is_e164_digits_or_nothing(text: str) -> None:
    digits = GERMANY.of_uri(text)
    assert digits == "" or (digits.isascii() and digits.isdigit() and 3 <= len(digits) <= E164_DIGITS)


@given(st.from_regex(r"[1-9][0-9]{6,12}", fullmatch=True))
def test_an_international_number_is_the_same_in_all_its_spellings(digits: str) -> None:
    spellings = {f"+{digits}", f"00{digits}", "+" + "-".join(digits), f"tel:+{digits}", f"sip:%2b{digits}@example.net"}
    assert {GERMANY.of_uri(spelling) for spelling in spellings} == {digits}


def test_a_user_part_loses_its_parameters_and_password() -> None:
    assert split_uri("sips:030;x=1;Phone-Context=+49:pw@h;y=2") == ("030", "+49:pw")
    assert split_uri("tel:1%2D2") == ("1-2", "")


def test_a_plan_that_cannot_be_is_refused_in_a_sentence() -> None:
    with pytest.raises(OperatorError, match="no country"):
        plan_for("ZZ")
    with pytest.raises(OperatorError, match="area code"):
        plan_for("DE", ["030"])

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError
from ringfence.telephony.emergency import EmergencyCalls, corpus, emergency_calls, patterns
from ringfence.telephony.numbers import plan_for

Operator = tuple[str, list[str], list[str], str, list[str]]

OPERATORS: list[Operator] = [
    ("49", ["30", "8143"], ["110", "112"], "0", ["00"]),
    ("1", ["212", "917"], ["911"], "1", ["011"]),
    ("39", [], ["112", "113", "118"], "", ["00"]),
    ("61", ["2"], ["000", "106"], "0", ["0011", "0014"]),
]
BERLIN = OPERATORS[0]


def made(operator: Operator) -> tuple[list[str], EmergencyCalls, Callable[[str], bool]]:
    country_code, area_codes, emergency, trunk, international = operator
    basis = (country_code, area_codes, emergency)
    texts = patterns(*basis, national_prefix=trunk, international_prefixes=international)
    expressions = [re.compile(text) for text in texts]
    return (
        corpus(*basis, national_prefix=trunk, international_prefixes=international),
        emergency_calls(*basis, national_prefix=trunk, international_prefixes=international),
        lambda uri: any(expression.search(uri) for expression in expressions),
    )


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator[0])
def test_every_spelling_is_recognised_by_the_product_and_by_the_include(operator: Operator) -> None:
    spellings, calls, include = made(operator)
    assert len(spellings) > 200
    assert [uri for uri in spellings if not calls.recognises(uri)] == []
    assert [uri for uri in spellings if not include(uri)] == []


@pytest.mark.parametrize(
    "uri",
    ["sip:112@x", "sip:110;phone-context=+49@x", "sip:+112@x", "tel:112", "urn:service:sos", "sip:112", "112", "+49110", "0049112",
     "030112", "+4930112", "tel:30112;phone-context=+49", "sip:30112@x;phone-context=+49", "sip:1%31%30@x", "tel:1-1-2", "tel:116117",
     "sip:+49116123@x", "sip:00498143110@x", "sip:112:pw@x", "sips:110?subject=x", "SIP:112@x", "sip:112@", "sip:112;x=@y"],
)  # fmt: skip
def test_what_reaches_help_is_never_missed(uri: str) -> None:
    _, calls, include = made(BERLIN)
    assert calls.recognises(uri)
    assert include(uri)


@pytest.mark.parametrize(
    "uri",
    ["sip:1103456@x", "sip:11234567@x", "sip:+491101234@x", "sip:0301101@x", "sip:030110112@x", "sip:11@x", "sip:116@x", "sip:11611@x",
     "sip:1161171@x", "sip:112a@x", "sip:a112@x", "sip:30112@x", "tel:30112;phone-context=+43", "sip:x@112.example.net",
     "urn:service:sosh", "urn:service:help", "urn:nena:service:sos", "sip:*112@x", "sip:112*@x", "sip:0023276112@x", "sip:+1112@x", "sip:",
     "", "sip:١١٢@x"],
)  # fmt: skip
def test_an_ordinary_number_is_none(uri: str) -> None:
    _, calls, include = made(BERLIN)
    assert not calls.recognises(uri)
    assert not include(uri)


PIECES = st.sampled_from(
    ["sip:", "tel:", "SIPS:", "urn:", "service:", "sos", ".", "+", "%2B", "00", "0", "49", "30", "8143", "110", "112", "116", "117", "1", "2",
     "-", "(", ")", " ", "%20", "%31", "%2d", ";", "phone-context=+49", "phone-context=%2B4930", "user=phone", "@", "host", ":", "?", "x"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=9).map("".join))
def test_product_and_include_agree_on_whatever_is_dialled(uri: str) -> None:
    _, calls, include = made(BERLIN)
    assert calls.recognises(uri) == include(uri)


@given(st.lists(st.sampled_from(["+", "00", "0", "49", "30", "8143", "110", "112", "116117", "-", "1", "5"]), max_size=6).map("".join))
def test_nothing_that_the_dial_plan_takes_to_help_is_missed(dialled: str) -> None:
    calls = made(BERLIN)[1]
    reached = {"49110", "49112", "49116117", "4930110", "4930112", "498143110", "498143112"}
    if plan_for("DE", ["30", "8143"]).e164(dialled) in reached:
        assert calls.recognises(f"sip:{dialled}@example.net")


def test_patterns_stand_in_a_configuration_string_as_they_are() -> None:
    for text in patterns("49", ["30"], ["110", "112"]):
        assert not set(text) & set("\"'\\\n#!")
        assert text.count("$") <= 1


def test_a_list_that_is_none_is_refused() -> None:
    with pytest.raises(OperatorError, match="no emergency number"):
        emergency_calls("49", [], ["help"])
    with pytest.raises(OperatorError, match="no emergency number"):
        emergency_calls("49", [], ["123456789"])

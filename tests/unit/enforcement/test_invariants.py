"""What no block may do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.enforcement.invariants import guard_for, is_shared, objection
from ringfence.enforcement.model import Exemption, Scope
from ringfence.enforcement.state import State
from ringfence.telephony.emergency import corpus, emergency_calls
from ringfence.telephony.numbers import plan_for
from tests.unit.enforcement.samples import NOW_MS, settings

GUARD = settings().guard
CALLS = emergency_calls("49", ("30", "89"), ("110", "112"))
PLAN = plan_for("DE", ("30", "89"))


@pytest.mark.parametrize(
    "digits",
    [
        "110",
        "112",
        "116",
        "1161",
        "116117",
        "491",
        "4911",
        "49110",
        "49112",
        "4930",
        "4930110",
        "493",
        "49116",
        "49116117",
        "490",
        "4989112",
    ],
)
def test_nothing_that_could_cover_an_emergency_number_is_blocked(digits: str) -> None:
    against = GUARD.objection(digits)
    assert against is not None
    assert against.reason == "emergency"


@pytest.mark.parametrize("digits", ["232", "49301234567", "491511", "49900", "4930110123", "1242", "88213"])
def test_other_ranges_may_be(digits: str) -> None:
    assert GUARD.objection(digits) is None


def test_every_spelling_of_the_corpus_stays_reachable_whatever_prefix_is_blocked() -> None:
    """The edge looks up each prefix of the called digits: none of them may be blockable.

    Dialled without any prefix, 49110 is also the local number +49 30 49110; there the recogniser alone lets the call pass.
    """
    looked_up = [PLAN.of_uri(uri) for uri in corpus("49", ("30", "89"), ("110", "112"))]
    numbers = sorted({digits for digits in looked_up if CALLS.recognises(f"+{digits}")})
    assert len(numbers) > 10
    for digits in numbers:
        for length in range(3, len(digits) + 1):
            assert GUARD.objection(digits[:length]) is not None, digits[:length]


@given(st.from_regex(r"[1-9][0-9]{2,14}", fullmatch=True), st.sampled_from(GUARD.spellings), st.data())
def test_a_block_that_is_allowed_covers_no_emergency_number(block: str, spelling: str, data: st.DataObject) -> None:
    number = "".join(data.draw(st.sampled_from("0123456789")) if sign == "x" else sign for sign in spelling)
    assert CALLS.recognises(number) or CALLS.recognises(f"+{number}")
    if number.startswith(block):
        assert GUARD.objection(block) is not None


def test_the_own_country_code_is_no_range() -> None:
    guard = guard_for(emergency_calls("353", (), ("999",), international_prefixes=("00",)))
    against = guard.objection("353")
    assert against is not None
    assert against.reason == "emergency"  # +353 999 begins with it
    narrow = guard.objection("3531")
    assert narrow is not None
    assert narrow.reason == "emergency"
    assert guard.objection("35387") is None


@pytest.mark.parametrize(("kind", "may"), [("own_pool", False), ("peer", False), ("monitoring", False), ("cgnat", True)])
@pytest.mark.parametrize(
    ("prefix", "source"),
    [("198.51.100.0/24", "198.51.100.7"), ("2001:db8:1::/48", "2001:db8:1:2::/64"), ("2001:db8:1:2:3::/80", "2001:db8:1:2::/64")],
)
def test_own_networks_are_never_blocked(kind: str, may: bool, prefix: str, source: str) -> None:
    state = State()
    assert objection(Scope.SOURCE, source, state=state, guard=GUARD, now_ms=NOW_MS) is None
    state.put_networks([("192.0.2.0/24", "own_pool"), (prefix, kind)])
    against = objection(Scope.SOURCE, source, state=state, guard=GUARD, now_ms=NOW_MS)
    assert (against is None) is may
    assert is_shared(Scope.SOURCE, source, state) is may
    assert objection(Scope.SOURCE, "203.0.113.9", state=state, guard=GUARD, now_ms=NOW_MS) is None


@pytest.mark.parametrize(
    ("scope", "value", "target_scope", "target"),
    [
        ("account", "hospital", Scope.CLASS, "hospital"),
        ("account", "hospital", Scope.ACCOUNT, "hospital"),
        ("number", "23276123456", Scope.NUMBER, "23276123456"),
        ("number", "23276123456", Scope.RANGE, "23276"),
        ("number", "23276", Scope.NUMBER, "23276123456"),
        ("source", "203.0.113.0/24", Scope.SOURCE, "203.0.113.9"),
    ],
)
def test_an_exempt_value_is_spared_until_the_exemption_ends(scope: str, value: str, target_scope: Scope, target: str) -> None:
    exemption = Exemption(
        exemption_id="x-1",
        scope=scope,  # type: ignore[arg-type]
        value=value,
        owner="Dr. Ott",
        until_ms=NOW_MS + 10,
        reason="alarm line",
        author="anna",
        created_ms=NOW_MS,
    )
    state = State()
    state.put_exemption(exemption)
    against = objection(target_scope, target, state=state, guard=GUARD, now_ms=NOW_MS + 9)
    assert against is not None
    assert "Dr. Ott" in against.message
    assert objection(target_scope, target, state=state, guard=GUARD, now_ms=NOW_MS + 10) is None


def test_the_account_list_exempts_until_its_time_and_no_longer_when_it_is_imported_anew() -> None:
    state = State()
    state.put_accounts(7, 100, {"hospital": NOW_MS + 10})
    assert objection(Scope.ACCOUNT, "hospital", state=state, guard=GUARD, now_ms=NOW_MS) is not None
    assert objection(Scope.ACCOUNT, "hospital", state=state, guard=GUARD, now_ms=NOW_MS + 10) is None
    state.put_accounts(7, 100, {})
    assert objection(Scope.ACCOUNT, "hospital", state=state, guard=GUARD, now_ms=NOW_MS) is None
    assert state.accounts == 100

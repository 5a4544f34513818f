import pytest

from ringfence.base.errors import OperatorError, PeerError
from ringfence.base.secret import Secret
from ringfence.telephony.trust import MAX_REMEMBERED_SOURCES, AgentDirectory, Trust, agent_of

KEYED = agent_of("kamailio-1", ["192.0.2.0/24"], key=Secret("k1"), trust="hlog")
SECOND = agent_of("kamailio-2", ["192.0.2.9", "2001:db8::/32"], key=Secret("k2"), trust="hlog")
OPEN = agent_of("asterisk", ["198.51.100.1"], key=None, trust="challenge")


def refused(directory: AgentDirectory, source: str, key: Secret | None) -> str:
    with pytest.raises(PeerError) as refusal:
        directory.identify(source, key)
    return refusal.value.reason


def test_source_and_key_name_the_agent() -> None:
    directory = AgentDirectory([KEYED, SECOND, OPEN])
    assert directory.identify("192.0.2.9", Secret("k1")) is KEYED
    assert directory.identify("192.0.2.9", Secret("k2")) is SECOND
    assert directory.identify("2001:db8::1", Secret("k2")) is SECOND
    assert directory.identify("::ffff:192.0.2.9", Secret("k2")) is SECOND
    assert directory.identify("198.51.100.1", None) is OPEN
    assert not OPEN.keyed
    assert OPEN.trust is Trust.CHALLENGE


def test_a_stranger_and_a_wrong_or_missing_key_are_refused() -> None:
    directory = AgentDirectory([KEYED, SECOND, OPEN])
    assert refused(directory, "203.0.113.1", Secret("k1")) == "unknown_agent"
    assert refused(directory, "not an address", None) == "unknown_agent"
    assert refused(directory, "192.0.2.1", None) == "no_key"
    assert refused(directory, "192.0.2.1", Secret("k2")) == "bad_key"
    assert not directory.known("203.0.113.1")


def test_a_key_that_matched_at_one_source_proves_nothing_at_another() -> None:
    directory = AgentDirectory([KEYED, agent_of("other", ["203.0.113.0/24"], key=Secret("k3"), trust="hlog")])
    key = Secret("k1")
    for _ in range(2):
        assert directory.identify("192.0.2.1", key) is KEYED
        assert refused(directory, "203.0.113.1", key) == "bad_key"
        assert refused(directory, "192.0.2.1", Secret("k3")) == "bad_key"


def test_a_wrong_key_is_no_way_into_an_agent_without_one() -> None:
    directory = AgentDirectory([KEYED, agent_of("beside", ["192.0.2.1"], key=None, trust="none")])
    assert refused(directory, "192.0.2.1", Secret("guess")) == "bad_key"
    assert directory.identify("192.0.2.1", None).name == "beside"


def test_the_memory_of_sources_is_bounded() -> None:
    directory = AgentDirectory([OPEN])
    for number in range(3 * MAX_REMEMBERED_SOURCES):
        assert not directory.known(f"203.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(directory._remembered) <= MAX_REMEMBERED_SOURCES
    assert directory.known("198.51.100.1")


def test_settings_that_make_no_agent_are_refused_in_a_sentence() -> None:
    with pytest.raises(OperatorError, match="no network"):
        agent_of("x", ["example.net"], key=None, trust="hlog")
    with pytest.raises(OperatorError, match="hlog, challenge, none"):
        agent_of("x", ["192.0.2.1"], key=None, trust="full")
    with pytest.raises(OperatorError, match="no source"):
        agent_of("x", [], key=None, trust="hlog")
    with pytest.raises(OperatorError, match="same name"):
        AgentDirectory([OPEN, OPEN])

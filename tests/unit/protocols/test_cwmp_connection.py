"""Sessions: both ends talk to each other by any script, the table rules, and a damaged peer ends its session with a reason."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError, PeerError
from ringfence.protocols.cwmp import (
    AcsConnection,
    Answered,
    Asked,
    DeviceConnection,
    Ended,
    Ending,
    HandedOver,
    Informed,
    InformReceived,
    OneMore,
    Quirks,
    QuirkTable,
    RequestReceived,
    ResponseReceived,
    SessionEnded,
    build,
    read_quirks,
)
from ringfence.protocols.cwmp import messages as m
from ringfence.protocols.cwmp.connection import MAX_EXCHANGES, MAX_FROZEN_BYTES, TRANSITIONS, State, Step
from ringfence.protocols.cwmp.device import DEVICE_TRANSITIONS, DeviceState
from ringfence.protocols.cwmp.faults import acs_fault
from ringfence.protocols.cwmp.layout import RESPONSES
from ringfence.protocols.cwmp.messages import Envelope
from ringfence.protocols.cwmp.quirks import EndingStyle
from tests.unit.protocols.cwmp_strategies import of

PLAIN = QuirkTable()
OLD = read_quirks('[[device]]\nreason = "old"\nquirks = { ending = "empty" }')
THIS = m.Inform(m.DeviceId("M", "00040E", "P", "S"), (m.Event("2 PERIODIC"),))

_device_requests = st.sampled_from(
    [
        m.TransferComplete("k"),
        m.AutonomousTransferComplete(file_type="1 Firmware Upgrade Image"),
        m.GetRPCMethods(),
        m.RequestDownload("1 F I"),
    ]
)
_acs_requests = st.sampled_from(m.AcsRequest.__args__).flatmap(of)


def opened(table: QuirkTable = PLAIN, **device: Any) -> tuple[AcsConnection, DeviceConnection]:
    acs, device_side = AcsConnection(table), DeviceConnection(**device)
    assert isinstance(acs.receive(device_side.start(THIS)), InformReceived)
    assert device_side.receive(acs.respond(m.InformResponse())) == Informed(hold_requests=False)
    return acs, device_side


def handed_over(table: QuirkTable = PLAIN, **device: Any) -> tuple[AcsConnection, DeviceConnection]:
    acs, device_side = opened(table, **device)
    assert acs.receive(device_side.hand_over()) == HandedOver()
    return acs, device_side


def refused(acs: AcsConnection, body: bytes) -> str:
    with pytest.raises(PeerError) as caught:
        acs.receive(body)
    assert acs.state is State.ENDED
    return caught.value.reason


@settings(deadline=None, max_examples=60)
@given(
    st.lists(_device_requests, max_size=4),
    st.lists(_acs_requests, max_size=4),
    st.data(),
    st.sampled_from(["1-0", "1-2", "1-4"]),
    st.sampled_from(EndingStyle),
    st.booleans(),
)
def test_both_ends_understand_each_other(
    wishes: list[Any], questions: list[Any], data: st.DataObject, version: str, ending: EndingStyle, travels: bool
) -> None:
    """Any script of requests and answers, on one connection or with a sealed state between any two requests."""
    table = read_quirks(f'[[device]]\nreason = "r"\nquirks = {{ ending = "{ending}" }}')
    acs, device = AcsConnection(table), DeviceConnection(version=version, quirks=Quirks(ending=ending))

    def moved(connection: AcsConnection) -> AcsConnection:
        frozen = connection.freeze() if travels else b""
        return AcsConnection.thaw(table, frozen) if frozen else connection

    event = acs.receive(device.start(THIS))
    assert isinstance(event, InformReceived)
    assert (event.inform, event.version) == (THIS, version)
    assert device.receive(acs.respond(m.InformResponse())) == Informed(hold_requests=False)
    for wish in wishes:
        acs = moved(acs)
        assert acs.receive(device.send(wish)) == RequestReceived(wish)
        answer: Any = data.draw(st.sampled_from([RESPONSES[type(wish)](), acs_fault(8005)]))
        assert device.receive(acs.respond(answer)) == Answered(wish, answer)
    acs = moved(acs)
    assert acs.receive(device.hand_over()) == HandedOver()
    for question in questions:
        assert device.receive(acs.ask(question)) == Asked(question)
        acs = moved(acs)
        reply = data.draw(of(m.Fault) | of(RESPONSES[type(question)]))
        assert acs.receive(device.answer(reply)) == ResponseReceived(question, reply)
    last = acs.finish()
    if ending is EndingStyle.EMPTY:
        assert device.receive(last.body) == OneMore()
        acs = moved(acs)
        assert acs.receive(device.hand_over()) == Ended()
        last = acs.finish()
    assert last.body == b""
    assert not last.once_more
    assert device.receive(last.body) == SessionEnded()
    assert acs.state is State.ENDED
    assert device.state is DeviceState.ENDED


@pytest.mark.parametrize(
    ("style", "endings"),
    [("204", [Ending(204)]), ("200", [Ending(200)]), ("empty", [Ending(200, once_more=True), Ending(200)])],
)
def test_quirk_endings_new_and_old(style: str, endings: list[Ending]) -> None:
    acs, _ = handed_over(read_quirks(f'[[device]]\nreason = "r"\nquirks = {{ ending = "{style}" }}'))
    assert acs.finish() == endings[0]
    if len(endings) > 1:
        assert acs.receive(b"") == Ended()
        assert acs.finish() == endings[1]


def test_an_empty_envelope_hands_over_as_an_empty_post_does() -> None:
    acs, _ = opened()
    assert acs.receive(build(Envelope(m.NoMessage(), no_more_requests=True))) == HandedOver()


def test_unparseable_is_not_an_empty_post() -> None:
    for body in (b" ", b"\0", b"<", b"<a/>", b"\r\n\r\n"):
        acs, _ = opened()
        assert refused(acs, body) in {"malformed", "not_soap"}
        with pytest.raises(AssertionError):
            acs.ask(m.Reboot("k"))


def test_hold_requests_reaches_the_device() -> None:
    acs, device = AcsConnection(PLAIN), DeviceConnection()
    acs.receive(device.start(THIS))
    assert device.receive(acs.respond(m.InformResponse(), hold_requests=True)) == Informed(hold_requests=True)
    with pytest.raises(AssertionError, match="holds"):
        device.send(m.GetRPCMethods())
    assert acs.receive(device.hand_over()) == HandedOver()


def test_the_device_is_answered_under_its_own_id_and_in_its_namespace() -> None:
    acs = AcsConnection(PLAIN)
    acs.receive(build(Envelope(THIS, "id of <mine>", "1-3")))
    body = acs.respond(m.InformResponse())
    assert b"id of &lt;mine&gt;" in body
    assert b"urn:dslforum-org:cwmp-1-3" in body


def test_methods_that_are_not_spoken_are_answered_with_8000() -> None:
    acs, _ = opened()
    kicked = build(Envelope(m.Reboot(), "1")).replace(b"cwmp:Reboot", b"cwmp:Kicked")
    assert acs.receive(kicked) == RequestReceived(m.UnknownMessage("Kicked"))
    assert b"<FaultCode>8000</FaultCode>" in acs.respond(acs_fault(8000))
    assert acs.receive(b"") == HandedOver()


def test_a_device_that_starts_over_is_judged_anew() -> None:
    acs, _ = handed_over()
    acs.ask(m.SetParameterValues((m.ParameterValue("Device.A", "secret"),), "k"))
    other = m.Inform(m.DeviceId("M", "00040E", "P", "OTHER"))
    event = acs.receive(build(Envelope(other, "9")))
    assert isinstance(event, InformReceived)
    assert event.inform == other
    acs.respond(m.InformResponse())
    assert b"secret" not in acs.freeze()


def test_answers_to_other_questions_are_refused() -> None:
    def asked() -> AcsConnection:
        acs, _ = handed_over()
        acs.ask(m.GetParameterValues(("Device.",)))
        return acs

    assert refused(asked(), build(Envelope(m.RebootResponse(), "1"))) == "wrong_response"
    assert refused(asked(), build(Envelope(m.GetParameterValuesResponse(), "2"))) == "wrong_id"
    assert refused(asked(), b"") == "answer_expected"
    assert refused(asked(), build(Envelope(m.TransferComplete()))) == "answer_expected"
    assert isinstance(asked().receive(build(Envelope(m.GetParameterValuesResponse()))), ResponseReceived)


def test_out_of_turn_is_refused() -> None:
    assert refused(AcsConnection(PLAIN), b"") == "inform_expected"
    assert refused(AcsConnection(PLAIN), build(Envelope(m.TransferComplete()))) == "inform_expected"
    assert refused(opened()[0], build(Envelope(m.RebootResponse()))) == "out_of_turn"
    assert refused(opened()[0], build(Envelope(m.Fault(9002)))) == "out_of_turn"
    acs, _ = handed_over()
    assert refused(acs, b"") == "out_of_turn"
    assert refused(acs, build(Envelope(m.RebootResponse()))) == "ended"


def test_a_session_without_end_is_closed() -> None:
    acs, device = opened()
    for _ in range(MAX_EXCHANGES - 1):
        acs.receive(device.send(m.GetRPCMethods()))
        device.receive(acs.respond(m.GetRPCMethodsResponse(("Inform",))))
    assert refused(acs, b"") == "endless"


def test_a_request_that_breaks_the_schema_leaves_the_turn_with_the_acs() -> None:
    acs, device = handed_over()
    with pytest.raises(OperatorError):
        acs.ask(m.Reboot("k" * 33))
    assert device.receive(acs.ask(m.Reboot("k"))) == Asked(m.Reboot("k"))


def test_what_is_too_large_for_a_cookie_stays_on_its_connection() -> None:
    acs, _ = handed_over()
    acs.ask(m.GetParameterValues(tuple(f"Device.Name{n}" for n in range(400))))
    assert acs.freeze() == b""
    acs, _ = handed_over()
    acs.ask(m.Reboot("k"))
    assert 0 < len(acs.freeze()) < 100 < MAX_FROZEN_BYTES


@given(st.binary(max_size=100))
def test_any_cookie_is_a_state_or_refused(raw: bytes) -> None:
    try:
        AcsConnection.thaw(PLAIN, raw)
    except PeerError as error:
        reason = error.reason
        assert reason == "bad_state"


def test_the_quirks_survive_the_cookie() -> None:
    acs, _ = handed_over(OLD)
    assert AcsConnection.thaw(OLD, acs.freeze()).quirks == Quirks(ending=EndingStyle.EMPTY)


def test_the_software_version_of_the_inform_chooses_the_quirks() -> None:
    table = read_quirks('[[device]]\nreason = "r"\nbelow_version = "7.29"\nquirks = { batch_values = 3 }')
    for version, batch in (("7.9", 3), ("7.29", 16)):
        acs = AcsConnection(table)
        inform = m.Inform(parameters=(m.ParameterValue("InternetGatewayDevice.DeviceInfo.SoftwareVersion", version),))
        acs.receive(build(Envelope(inform)))
        assert acs.quirks.batch_values == batch


def test_the_acs_speaks_in_turn_or_that_is_a_bug() -> None:
    acs, device = opened()
    for call in (acs.finish, lambda: acs.ask(m.Reboot("k")), lambda: acs.respond(m.InformResponse())):
        with pytest.raises(AssertionError):
            call()
    with pytest.raises(AssertionError):
        device.answer(m.RebootResponse())


def test_the_device_refuses_what_makes_no_sense() -> None:
    for body, reason in (
        (build(Envelope(m.RebootResponse(), "1")), "wrong_response"),
        (build(Envelope(m.InformResponse(), "2")), "wrong_id"),
        (build(Envelope(m.Reboot("k"), "1")), "out_of_turn"),
        (b"<", "malformed"),
    ):
        device = DeviceConnection()
        device.start(THIS)
        with pytest.raises(PeerError) as caught:
            device.receive(body)
        assert caught.value.reason == reason
        assert device.state is DeviceState.ENDED


def test_a_refused_inform_ends_the_session_of_the_device() -> None:
    device = DeviceConnection()
    device.start(THIS)
    assert device.receive(build(Envelope(acs_fault(8001), "1"))) == SessionEnded(acs_fault(8001))
    device = DeviceConnection()
    device.start(THIS)
    assert device.receive(b"") == SessionEnded()


def test_the_tables_reach_every_state_and_use_every_step() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert set(TRANSITIONS.values()) | {State.WAITING} == set(State)
    assert {step for _, step in TRANSITIONS} == set(Step)
    assert set(DEVICE_TRANSITIONS.values()) | {DeviceState.IDLE} == set(DeviceState)

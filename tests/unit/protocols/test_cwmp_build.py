"""What the writer sends: read back as it was, valid by the schemas of the Broadband Forum, or refused with what to change."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError
from ringfence.protocols.cwmp import Quirks, build, parse
from ringfence.protocols.cwmp import messages as m
from ringfence.protocols.cwmp.faults import ACS_FAULTS, CPE_FAULTS, acs_fault, meaning_of
from ringfence.protocols.cwmp.layout import FROM_ACS, MESSAGES, RESPONSES
from ringfence.protocols.cwmp.messages import Envelope
from ringfence.protocols.cwmp.quirks import Literal
from tests.unit.protocols.cwmp_strategies import KINDS, any_message, of

SCHEMAS = Path(__file__).parents[4] / "shared" / "data" / "bbf"
needs_schemas = pytest.mark.skipif(not SCHEMAS.is_dir(), reason="no ../shared/data/bbf: the schemas of the Broadband Forum are absent")

# 1.0 has neither; a device that sends the one is answered all the same.
SINCE_1_1 = {
    m.AutonomousTransferComplete, m.AutonomousTransferCompleteResponse, m.GetAllQueuedTransfers, m.GetAllQueuedTransfersResponse,
    m.RequestDownload, m.RequestDownloadResponse,
}  # fmt: skip


@cache
def schema(version: str) -> Any:
    """The schema of a version, with SOAP's own beside it instead of on the network."""
    import xmlschema

    soap = Path(xmlschema.__file__).parent / "schemas"
    places = {
        "http://schemas.xmlsoap.org/soap/envelope/": next(soap.rglob("soap-envelope.xsd")),
        "http://schemas.xmlsoap.org/soap/encoding/": next(soap.rglob("soap-encoding.xsd")),
    }
    text = (SCHEMAS / f"cwmp-{version}.xsd").read_text("utf-8")
    for uri, file in places.items():
        text = text.replace(f'schemaLocation="{uri}"', f'schemaLocation="{file.as_uri()}"')
    return xmlschema.XMLSchema(text), xmlschema.XMLSchema(str(places["http://schemas.xmlsoap.org/soap/envelope/"]))


def check(body: bytes, version: str) -> None:
    """Every part of an envelope, each against the element that its schema declares for it."""
    from xml.etree import ElementTree as ET

    namespaces = {
        "soapenv": "http://schemas.xmlsoap.org/soap/envelope/",
        "soapenc": "http://schemas.xmlsoap.org/soap/encoding/",
        "xsd": "http://www.w3.org/2001/XMLSchema",
        "cwmp": f"urn:dslforum-org:cwmp-{version}",
    }
    root = ET.fromstring(body)
    parts = root.findall("soapenv:Header/*", namespaces) + root.findall("soapenv:Body/*", namespaces)
    assert parts
    for part in parts:
        fault = part.find("detail/cwmp:Fault", namespaces) if part.tag.endswith("}Fault") else None
        schema(version)[0].validate(part if fault is None else fault, namespaces=namespaces)


@needs_schemas
@pytest.mark.parametrize("message", [m.InformResponse(), acs_fault(8005)], ids=["message", "fault"])
def test_the_envelope_validates(message: Any) -> None:
    body = build(Envelope(message, "1", "1-2"))
    schema("1-2")[1].validate(body.decode().partition("\n")[2])


@needs_schemas
@pytest.mark.parametrize("version", ["1-0", "1-1", "1-2"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_built_validates(kind: Any, version: str) -> None:
    if version == "1-0" and kind in SINCE_1_1:
        pytest.skip("not in CWMP 1.0")

    @settings(max_examples=6, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(of(kind), st.sampled_from(["", "1", "<&>"]), st.booleans(), st.sampled_from(Literal), st.sampled_from(Literal))
    def run(message: Any, name: str, hold: bool, next_level: Literal, boolean: Literal) -> None:
        if isinstance(message, m.Fault) and version == "1-0":
            message = m.Fault(9003, message.fault_string, (), message.soap_code)
        if version != "1-2" and getattr(message, "fault_code", 0) in range(9013, 9021):
            return
        check(build(Envelope(message, name, version, hold), Quirks(next_level=next_level, boolean=boolean)), version)

    run()


@needs_schemas
def test_the_check_against_the_schema_can_fail() -> None:
    body = build(Envelope(m.Reboot("key"), "1", "1-2")).replace(b"CommandKey", b"CommandKeys")
    with pytest.raises(Exception, match="CommandKeys"):
        check(body, "1-2")


@given(any_message(), st.text("abcXYZ019-", max_size=20), st.sampled_from(["1-0", "1-1", "1-2", "1-3", "1-4"]), st.booleans())
def test_what_is_built_reads_back(message: Any, name: str, version: str, hold: bool) -> None:
    envelope = Envelope(message, name, version, hold)
    assert parse(build(envelope)) == envelope
    assert parse(build(envelope, Quirks(xml_declaration=False, next_level=Literal.NUMBER))) == envelope


def test_the_whole_envelope_reads_back() -> None:
    envelope = Envelope(m.NoMessage(), "7", "1-3", hold_requests=True, session_timeout=60, no_more_requests=True)
    assert parse(build(envelope)).session_timeout == 60
    assert parse(build(envelope)).no_more_requests
    assert parse(build(envelope)).message == m.NoMessage()


def refusal(message: Any) -> str:
    with pytest.raises(OperatorError) as caught:
        build(Envelope(message))
    assert caught.value.reason == "unsendable"
    return str(caught.value)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (m.Reboot("k" * 33), "CommandKey takes at most 32 characters"),
        (m.SetParameterValues((), "k" * 33), "ParameterKey takes at most 32"),
        (m.GetParameterValues(("n" * 257,)), "ParameterNames takes at most 256"),
        (m.Download(url="u" * 257), "URL takes at most 256"),
        (m.Download(file_type="firmware"), "FileType cannot be 'firmware'"),
        (m.Download(file_size=2**32), "FileSize takes 0 to 4294967295"),
        (m.AddObject("Device.Object"), "ObjectName cannot be"),
        (m.ScheduleInform(-1), "DelaySeconds takes 0"),
        (m.SetParameterAttributes((m.AttributeChange("a", notification=3),)), "Notification takes 0 to 2"),
        (m.SetParameterAttributes((m.AttributeChange("a", access_list=("Everybody",)),)), "AccessList cannot be 'Everybody'"),
        (m.SetParameterValues((m.ParameterValue("Device.A", "maybe", "xsd:boolean"),)), "Device.A: the value is no boolean"),
        (m.SetParameterValues((m.ParameterValue("Device.A", "-1", "xsd:unsignedInt"),)), "Device.A: the value is no unsignedInt"),
        (
            m.SetParameterValues((m.ParameterValue("Device.A", "2023-02-29T00:00:00", "xsd:dateTime"),)),
            "Device.A: the value is no dateTime",
        ),
        (m.SetParameterValues((m.ParameterValue("Device.A", "30/2/2023", "xsd:dateTime"),)), "Device.A: the value is no dateTime"),
        (m.SetParameterValues((m.ParameterValue("Device.A", "1", "xsd:maybe"),)), "there is no type 'xsd:maybe'"),
        (m.SetParameterValues((m.ParameterValue("Device.A", "bell\x07"),)), "a character that XML cannot carry"),
        (m.SetParameterValues((m.ParameterValue("Device.A", "half \ud800"),)), "a character that XML cannot carry"),
        (m.UnknownMessage("Kicked"), "no message that can be built"),
    ],
)
def test_what_the_schema_forbids_is_refused(message: Any, says: str) -> None:
    assert says in refusal(message)


def test_a_refusal_never_quotes_the_value() -> None:
    assert "hunter2" not in refusal(m.SetParameterValues((m.ParameterValue("Device.Password", "hunter2", "xsd:int"),)))


def test_names_urls_and_types_are_escaped() -> None:
    nasty = '"/><x y="&amp;]]>'
    body = build(Envelope(m.GetParameterValues((nasty,)), nasty))
    assert parse(body) == Envelope(m.GetParameterValues((nasty,)), nasty)
    assert b"<x" not in body


def test_quirk_xml_declaration_absent_for_netcwmp() -> None:
    assert not build(Envelope(m.InformResponse()), Quirks(xml_declaration=False)).startswith(b"<?xml")


def test_quirk_xml_declaration_present_for_huawei() -> None:
    assert build(Envelope(m.InformResponse()), Quirks(xml_declaration=True)).startswith(b'<?xml version="1.0" encoding="UTF-8"?>')


@pytest.mark.parametrize(("literal", "written"), [(Literal.WORD, b"false"), (Literal.NUMBER, b"0")])
def test_quirk_next_level_as_word_or_number(literal: Literal, written: bytes) -> None:
    body = build(Envelope(m.GetParameterNames("Device.", next_level=False)), Quirks(next_level=literal))
    assert b"<NextLevel>" + written + b"</NextLevel>" in body


@pytest.mark.parametrize(("literal", "written"), [(Literal.WORD, b"true"), (Literal.NUMBER, b"1")])
def test_quirk_boolean_values_as_word_or_number(literal: Literal, written: bytes) -> None:
    message = m.SetParameterValues((m.ParameterValue("Device.A.Enable", "true", "xsd:boolean"),))
    assert b'<Value xsi:type="xsd:boolean">' + written + b"<" in build(Envelope(message), Quirks(boolean=literal))


def test_an_unknown_time_is_written_in_the_words_of_the_standard() -> None:
    body = build(Envelope(m.TransferComplete(start_time="0000-00-00T00:00:00", complete_time="yesterday")))
    assert body.count(m.UNKNOWN_TIME.encode()) == 2


@pytest.mark.parametrize("code", sorted(ACS_FAULTS))
def test_every_fault_of_the_acs_is_well_formed(code: int) -> None:
    fault = parse(build(Envelope(acs_fault(code), "1", "1-2"))).message
    assert fault == acs_fault(code)


def test_every_fault_of_a_device_has_its_meaning() -> None:
    assert sorted(CPE_FAULTS) == list(range(9000, 9033))
    assert [code for code in CPE_FAULTS if meaning_of(code).rediscover] == [9005]
    assert {code for code in CPE_FAULTS if meaning_of(code).remedy.startswith("halt")} == {9012, 9016, 9018, 9019}
    assert meaning_of(9812).remedy == meaning_of(1).remedy == "retry_later"


@needs_schemas
def test_the_table_of_faults_is_the_one_of_the_schema() -> None:
    stated = re.findall(r"\* (9\d{3}) - ", (SCHEMAS / "cwmp-1-2.xsd").read_text("utf-8"))
    assert sorted(CPE_FAULTS) == [int(code) for code in stated]


def test_every_request_has_its_response() -> None:
    assert {kind.__name__ for kind in MESSAGES if not kind.__name__.endswith("Response")} == {kind.__name__ for kind in RESPONSES}
    assert m.SetParameterValues in FROM_ACS
    assert m.Inform not in FROM_ACS

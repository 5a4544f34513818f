"""What the reader takes of real devices, each quirk by its name, and what it refuses, each with its reason."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from ringfence.base.errors import PeerError
from ringfence.protocols.cwmp import build, parse
from ringfence.protocols.cwmp import messages as m
from ringfence.protocols.cwmp.messages import Envelope
from ringfence.protocols.cwmp.parse import (
    MAX_BODY_BYTES,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_TAG_BYTES,
    MAX_TAGS,
    MAX_TEXT_CHARS,
    MAX_UNSIGNED,
    MAX_WORD_CHARS,
)

CORPUS = Path(__file__).parents[2] / "corpus" / "cwmp"
SHARED = Path(__file__).parents[4] / "shared" / "data" / "cwmp-messages"

PARAMETERS = "<ParameterList><ParameterValueStruct><Name>Device.A</Name><Value>1</Value></ParameterValueStruct></ParameterList>"
DEVICE = "<DeviceId><Manufacturer>M</Manufacturer><OUI>00040E</OUI><ProductClass>P</ProductClass><SerialNumber>S</SerialNumber></DeviceId>"


def soap(content: str, header: str = "", version: str = "1-0") -> bytes:
    return (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xmlns:cwmp="urn:dslforum-org:cwmp-{version}"><s:Header>{header}</s:Header><s:Body>{content}</s:Body></s:Envelope>'
    ).encode()


def inform(inside: str = DEVICE) -> m.Inform:
    message = parse(soap(f"<cwmp:Inform>{inside}</cwmp:Inform>")).message
    assert isinstance(message, m.Inform)
    return message


def refused(body: bytes, charset: str = "") -> str:
    with pytest.raises(PeerError) as caught:
        parse(body, charset)
    return caught.value.reason


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data/cwmp-messages")
def test_all_messages_of_the_simulator_are_read_and_written_again() -> None:
    files = sorted(SHARED.glob("*.xml"))
    assert len(files) == 33
    for file in files:
        envelope = parse(file.read_bytes())
        expected = "".join(part.capitalize() for part in re.sub("_(success|fault)?_?(request|response)$", "", file.stem).split("_"))
        assert envelope.id == "123"
        assert envelope.version == "1-0"
        assert not isinstance(envelope.message, m.UnknownMessage), (file.name, expected)
        assert parse(build(envelope)) == envelope, file.name


def test_the_corpus_reads_as_its_names_say() -> None:
    files = sorted(CORPUS.glob("*.xml"))
    assert len(files) >= 8
    for file in files:
        outcome, _, rest = file.stem.partition("-")
        if outcome == "refused":
            assert refused(file.read_bytes()) == rest.partition("-")[0], file.name
        else:
            assert type(parse(file.read_bytes()).message).__name__ == rest.partition("-")[0], file.name


# Quirks ---------------------------------------------------------------------------------------------------------------


def test_quirk_speedtouch_780_capture() -> None:
    """CurrentTime 0000, EventStruct[03], RetryCount 05, a parameter without its root, MaxEnvelopes 2."""
    envelope = parse((CORPUS / "read-Inform-speedtouch-780.xml").read_bytes(), "ISO-8859-1")
    message = envelope.message
    assert isinstance(message, m.Inform)
    assert message.current_time == "0000-00-00T00:00:00"
    assert message.retry_count == 5
    assert message.max_envelopes == 2
    assert [event.event_code for event in message.events] == ["0 BOOTSTRAP", "1 BOOT", "4 VALUE CHANGE"]
    assert message.parameters[-1].name == ".ExternalIPAddress"
    assert isinstance(parse(build(envelope)).message, m.Inform)


def test_quirk_current_time_1970() -> None:
    assert inform("<CurrentTime>1970-01-01T00:02:00</CurrentTime>").current_time == "1970-01-01T00:02:00"


def test_quirk_missing_retry_count_and_id() -> None:
    envelope = parse(soap(f"<cwmp:Inform>{DEVICE}</cwmp:Inform>"))
    assert envelope.id == ""
    assert envelope.message == m.Inform(m.DeviceId("M", "00040E", "P", "S"))


def test_quirk_cwmpclient_unprefixed_envelope_without_types() -> None:
    body = f'<?xml version="1.0"?><Envelope><Body><Inform xmlns="urn:dslforum-org:cwmp-1-0">{DEVICE}{PARAMETERS}</Inform></Body></Envelope>'
    envelope = parse(body.encode())
    assert isinstance(envelope.message, m.Inform)
    assert envelope.message.device_id.serial_number == "S"
    assert envelope.message.parameters == (m.ParameterValue("Device.A", "1", "xsd:string"),)


def test_quirk_alcatel_femto_prefixes_on_child_elements() -> None:
    body = soap("<cwmp:Inform><cwmp:RetryCount>3</cwmp:RetryCount>" + PARAMETERS.replace("<", "<cwmp:").replace("<cwmp:/", "</cwmp:"))
    message = parse(body.replace(b"</s:Body>", b"</cwmp:Inform></s:Body>")).message
    assert message == m.Inform(retry_count=3, parameters=(m.ParameterValue("Device.A", "1"),))


def test_quirk_value_with_line_break_and_blanks_inside_a_name() -> None:
    """As in the sample of a FRITZ!Box 7170 that was printed by heise, and a name of TR-098 1.8."""
    inside = "<ParameterList><ParameterValueStruct><Name> Device.Some\n  Long.Name </Name><Value>two\nlines</Value></ParameterValueStruct></ParameterList>"
    assert inform(inside).parameters == (m.ParameterValue("Device.SomeLong.Name", "two\nlines"),)


def test_quirk_broken_close_tags_are_refused_not_guessed() -> None:
    assert refused(soap("<cwmp:Inform><RetryCount>1</Retry Count></cwmp:Inform>")) == "malformed"


@pytest.mark.parametrize("raw", [b"\x01", b"\x0b", b"&#0;", b"&#x1F;", b"&#xFFFF;", b"&#xD800;", b"&#x7FFFFFFF;", "\uffff".encode()])
def test_quirk_illegal_xml_characters(raw: bytes) -> None:
    body = soap(PARAMETERS.join(["<cwmp:Inform>", "</cwmp:Inform>"])).replace(b"<Value>1", b"<Value>a" + raw + b"b&#10;")
    message = parse(body).message
    assert isinstance(message, m.Inform)
    assert message.parameters[0].value == "a\ufffdb\n"


def test_quirk_charset_iso_8859_1() -> None:
    latin = soap("<cwmp:Inform>" + PARAMETERS.replace(">1<", ">Gerät<") + "</cwmp:Inform>").decode().encode("iso-8859-1")
    for body, charset in (
        (latin, "ISO-8859-1"),
        (latin, ' "iso-8859-1" '),
        (b'<?xml version="1.0" encoding="ISO-8859-1"?>' + latin, ""),
        (b"<?xml version='1.0' encoding='windows-1252'?>" + latin, "utf-8"),
    ):
        message = parse(body, charset).message
        assert isinstance(message, m.Inform)
        assert message.parameters[0].value == "Gerät"


def test_quirk_utf_8_that_is_labelled_iso_8859_1() -> None:
    body = b'<?xml version="1.0" encoding="ISO-8859-1"?>' + soap("<cwmp:Inform>" + PARAMETERS.replace(">1<", ">Gerät<") + "</cwmp:Inform>")
    message = parse(body, "iso-8859-1").message
    assert isinstance(message, m.Inform)
    assert message.parameters[0].value == "Gerät"


def test_quirk_command_key_and_oui_that_break_the_schema() -> None:
    message = inform(f"<DeviceId><OUI>ACME!!</OUI></DeviceId><Event><EventStruct><CommandKey>{'k' * 60}</CommandKey></EventStruct></Event>")
    assert message.device_id.oui == "ACME!!"
    assert len(message.events[0].command_key) == 60


def test_quirk_retry_count_of_a_storm() -> None:
    assert inform("<RetryCount>1490</RetryCount>").retry_count == 1490


def test_quirk_fault_struct_that_is_a_bare_number() -> None:
    message = parse(soap("<cwmp:TransferComplete><FaultStruct>0</FaultStruct></cwmp:TransferComplete>")).message
    assert message == m.TransferComplete()


def test_quirk_byte_order_mark_and_blanks_before_the_declaration() -> None:
    assert parse(b"\xef\xbb\xbf" + soap("<cwmp:Reboot/>")).message == m.Reboot()
    assert parse(b'\r\n <?xml version="1.0"?>' + soap("<cwmp:Reboot/>")).message == m.Reboot()


@pytest.mark.parametrize("version", ["1-0", "1-1", "1-2", "1-3", "1-4", "1-9"])
def test_namespaces_of_every_version(version: str) -> None:
    envelope = parse(soap("<cwmp:Inform/>", version=version))
    assert envelope.version == version
    assert f"urn:dslforum-org:cwmp-{version}".encode() in build(Envelope(m.InformResponse(), version=envelope.version))


def test_a_foreign_namespace_is_answered_in_the_oldest() -> None:
    assert parse(soap("<cwmp:Inform/>").replace(b"urn:dslforum-org:cwmp-1-0", b"urn:example")).version == "1-0"
    assert parse(soap("<cwmp:Inform/>", version="1-0-evil")).version == "1-0"


# The envelope ---------------------------------------------------------------------------------------------------------


def test_header_fields() -> None:
    header = (
        '<cwmp:ID s:mustUnderstand="1"> 42 </cwmp:ID><cwmp:HoldRequests>true</cwmp:HoldRequests>'
        "<cwmp:SessionTimeout>40</cwmp:SessionTimeout><cwmp:NoMoreRequests>1</cwmp:NoMoreRequests><cwmp:Other/>"
    )
    assert parse(soap("", header, "1-3")) == Envelope(m.NoMessage(), "42", "1-3", True, 40, True)


def test_faults_with_and_without_detail() -> None:
    detail = (
        "<detail><cwmp:Fault><FaultCode>9003</FaultCode><FaultString>Invalid</FaultString><SetParameterValuesFault><ParameterName>Device.A"
        "</ParameterName><FaultCode>9007</FaultCode><FaultString>no</FaultString></SetParameterValuesFault><SetParameterValuesFault>"
        "<ParameterName>Device.B</ParameterName><FaultCode>9008</FaultCode></SetParameterValuesFault></cwmp:Fault></detail>"
    )
    outer = "<s:Fault><faultcode>s:Server</faultcode><faultstring>broken</faultstring>"
    assert parse(soap(f"{outer}{detail}</s:Fault>", version="1-2")) == Envelope(
        m.Fault(9003, "Invalid", (m.ParameterFault("Device.A", 9007, "no"), m.ParameterFault("Device.B", 9008)), "Server"), version="1-2"
    )
    assert parse(soap(f"{outer}</s:Fault>", version="1-1")) == Envelope(m.Fault(0, "broken", (), "Server"), version="1-1")


def test_methods_that_are_not_spoken_keep_their_name() -> None:
    assert parse(soap("<cwmp:Kicked/>")).message == m.UnknownMessage("Kicked")


@pytest.mark.parametrize(
    ("text", "number"), [("", 0), (" 7 ", 7), ("+5", 5), ("-1", 0), ("007", 7), ("9999999999", MAX_UNSIGNED), ("0", 0)]
)
def test_numbers(text: str, number: int) -> None:
    assert inform(f"<RetryCount>{text}</RetryCount>").retry_count == number


@pytest.mark.parametrize(("text", "value"), [("1", True), (" TRUE ", True), ("0", False), ("false", False), ("", False), ("2", False)])
def test_booleans(text: str, value: bool) -> None:
    message = parse(soap(f"<cwmp:GetParameterNames><NextLevel>{text}</NextLevel></cwmp:GetParameterNames>")).message
    assert message == m.GetParameterNames(next_level=value)


@pytest.mark.parametrize(
    ("stated", "kind"),
    [
        ("xs:int", "xsd:int"),
        ("q1:boolean", "xsd:boolean"),
        ("boolean", "xsd:boolean"),
        ("SOAP-ENC:base64", "xsd:base64"),
        ("x:no", "xsd:string"),
    ],
)
def test_types_under_any_prefix(stated: str, kind: str) -> None:
    message = parse(soap(f"<cwmp:Inform>{PARAMETERS}</cwmp:Inform>").replace(b"<Value>", f'<Value xsi:type="{stated}">'.encode())).message
    assert isinstance(message, m.Inform)
    assert message.parameters[0].type == kind


# Attacks --------------------------------------------------------------------------------------------------------------

LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{("&" + chr(97 + n) + ";") * 10}">' for n in range(9))
    + "]><l>&j;</l>"
)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "malformed"),
        (b" \r\n", "malformed"),
        (b"\0" * 50, "malformed"),
        (b"not xml", "malformed"),
        (b"<html><body/></html>", "not_soap"),
        (b"<Envelope/>", "no_body"),
        (soap("<cwmp:Inform/><cwmp:Inform/>"), "many_messages"),
        (soap("").replace(b"<s:Body>", b"<s:Body/><s:Body>"), "many_messages"),
        (soap("<cwmp:Inform/>") * 2, "malformed"),
        (soap("<cwmp:Inform>")[:-20], "malformed"),
        (b'<!DOCTYPE foo [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + soap("&x;"), "dtd"),
        (b'<!DOCTYPE foo SYSTEM "http://192.0.2.1/evil.dtd">' + soap(""), "dtd"),
        (b'<?xml version="1.0"?><!DOCTYPE foo [<!ENTITY % x SYSTEM "http://192.0.2.1/">%x;]>' + soap(""), "dtd"),
        (LAUGHS.encode(), "dtd"),
        (('<!DOCTYPE l [<!ENTITY a "' + "x" * 50_000 + '">]><l>' + "&a;" * 50_000 + "</l>").encode(), "dtd"),
        (soap("&undeclared;"), "malformed"),
        (soap("").decode().encode("utf-16"), "encoding"),
        (b'<?xml version="1.0" encoding="UTF-16"?>' + soap("").decode().encode("utf-16-le"), "encoding"),
        (b'<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE+AD4-', "encoding"),
        (b'<?xml version="1.0" encoding="utf-32"?>' + soap(""), "encoding"),
        (b'<?xml version="1.0" encoding="ebcdic-cp-us"?>' + soap(""), "encoding"),
        (soap("").decode().encode("utf-32"), "encoding"),
        (soap("<cwmp:Inform/>").replace(b"Inform", b"Inf\xff"), "encoding"),
        (soap("<cwmp:Inform><RetryCount>many</RetryCount></cwmp:Inform>"), "bad_number"),
        (soap("<cwmp:Inform><RetryCount>" + "9" * 30 + "</RetryCount></cwmp:Inform>"), "bad_number"),
        (soap(f"<cwmp:Inform><CurrentTime>{'1' * (MAX_WORD_CHARS + 1)}</CurrentTime></cwmp:Inform>"), "text_too_long"),
        (soap(f"<cwmp:Inform>{PARAMETERS}</cwmp:Inform>").replace(b">1<", b">" + b"1" * (MAX_TEXT_CHARS + 1) + b"<"), "text_too_long"),
        (soap(f"<cwmp:Inform>{PARAMETERS}</cwmp:Inform>").replace(b">Device", b">" + b"D" * (MAX_WORD_CHARS + 1)), "text_too_long"),
        (b"<" + b"a" * 3_000_000 + b"/>", "malformed"),
        (soap("<x>" * (MAX_DEPTH + 1) + "</x>" * (MAX_DEPTH + 1)), "malformed"),
        (soap("<a" + "".join(f' a{n}="1"' for n in range(MAX_TAG_BYTES)) + "/>"), "tag_too_long"),
        (soap("<a/>" * (MAX_TAGS + 1)), "too_many_tags"),
        (soap(f"<cwmp:GetRPCMethodsResponse><MethodList>{'<s/>' * (MAX_ITEMS + 1)}</MethodList></cwmp:GetRPCMethodsResponse>"), "too_many_items"),
        (b" " * (MAX_BODY_BYTES + 1), "oversized"),
        (soap('<cwmp:Inform xmlns:x="http://192.0.2.1/"><x:include href="file:///etc/passwd"/><y:z/></cwmp:Inform>'), "malformed"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)}b",
)  # fmt: skip
def test_attacks_are_refused_quickly(body: bytes, reason: str) -> None:
    started = time.thread_time()
    assert refused(body) == reason
    assert time.thread_time() - started < 2


def test_the_charset_of_the_header_is_judged_too() -> None:
    assert refused(soap("<cwmp:Inform/>"), "utf-7") == "encoding"
    assert refused(soap("<cwmp:Inform/>"), "utf-16") == "encoding"


def test_comments_instructions_and_includes_change_nothing() -> None:
    xinclude = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/hostname"/>'
    body = soap(f"<!-- a --><?php b ?><cwmp:Inform>{xinclude}<RetryCount>1<!-- c -->2<?d e?></RetryCount></cwmp:Inform>")
    assert parse(body).message == m.Inform(retry_count=12)


def test_stylesheets_and_schema_locations_are_not_followed() -> None:
    located = soap("<cwmp:Inform/>").replace(b"<s:Header>", b'<s:Header xsi:schemaLocation="urn:x http://192.0.2.1/x.xsd">')
    assert parse(b'<?xml-stylesheet href="http://192.0.2.1/"?>' + located).message == m.Inform()


def test_the_whole_tree_of_a_large_device_is_read() -> None:
    parameters = tuple(m.ParameterValue(f"InternetGatewayDevice.LANDevice.1.Hosts.Host.{n}.HostName", "x" * 50) for n in range(7_000))
    envelope: Any = Envelope(m.GetParameterValuesResponse(parameters), "1")
    body = build(envelope)
    assert len(body) > 1_000_000
    assert parse(body) == envelope

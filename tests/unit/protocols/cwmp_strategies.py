"""Values of every message of CWMP for Hypothesis: what the schema allows, nothing else."""

from typing import Any

from hypothesis import strategies as st

from ringfence.protocols.cwmp import messages as m
from ringfence.protocols.cwmp.faults import ACS_FAULTS, CPE_FAULTS, TRANSFER_FAULTS
from ringfence.protocols.cwmp.layout import FAULT, MESSAGES, STRUCTS, Element, Kind

_characters = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"])
_texts = st.text(_characters | st.sampled_from("\t\n\r<>&\"']"), max_size=40)
_words = st.text(_characters, max_size=30).map(lambda text: "".join(text.split()))
_unsigned = st.integers(0, 4_294_967_295)
_times = st.datetimes().map(lambda time: time.strftime("%Y").zfill(4) + time.strftime("-%m-%dT%H:%M:%SZ"))
_file_types = st.sampled_from(["1 Firmware Upgrade Image", "3 Vendor Configuration File", "X 00040E Tone Set"])
_objects = _words.map(lambda text: f"Device.{text}.")

_values = st.one_of(
    st.builds(m.ParameterValue, _words, _texts, st.just("xsd:string")),
    st.builds(m.ParameterValue, _words, st.integers(-(2**31), 2**31 - 1).map(str), st.just("xsd:int")),
    st.builds(m.ParameterValue, _words, _unsigned.map(str), st.just("xsd:unsignedInt")),
    st.builds(m.ParameterValue, _words, st.sampled_from(["0", "1"]), st.just("xsd:boolean")),
    st.builds(m.ParameterValue, _words, _times, st.just("xsd:dateTime")),
    st.builds(m.ParameterValue, _words, st.sampled_from(["", "QUJD", "QUI="]), st.sampled_from(["xsd:base64", "xsd:base64Binary"])),
    st.builds(m.ParameterValue, _words, st.sampled_from(["", "00ff"]), st.just("xsd:hexBinary")),
)
_device_ids = st.builds(
    m.DeviceId, _words, st.from_regex("[0-9A-F]{6}", fullmatch=True), _words, st.from_regex("[A-Za-z0-9-]{1,64}", fullmatch=True)
)
_events = st.builds(m.Event, st.sampled_from(["0 BOOTSTRAP", "2 PERIODIC", "M Download", "X 00040E Ring"]), _words)


def _of(kind: Any, element: Element) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one answer for each kind of element
    if element.name == "FileType":
        return _file_types if kind is not m.Upload else st.just("1 Vendor Configuration File")
    if element.name == "ObjectName":
        return _objects
    if element.field == "access_list":
        return st.sampled_from([(), ("Subscriber",)])
    if element.name == "InstanceNumber":
        return st.integers(1, 4_294_967_295)
    if element.field == "state":
        return st.integers(1, 3)
    match element.kind:
        case Kind.WORD:
            return _words
        case Kind.TEXT:
            return _texts
        case Kind.PROSE:
            return _words
        case Kind.UNSIGNED:
            return st.integers(0, element.limit) if element.limit else _unsigned
        case Kind.FLAG:
            return st.booleans()
        case Kind.TIME:
            return _times
        case Kind.WORDS:
            return st.lists(_words, min_size=1, max_size=4).map(tuple)
        case Kind.ITEMS | Kind.REPEATED:
            fewest = 1 if kind is m.SetParameterAttributes else 0
            return st.lists(structs(element.item), min_size=fewest, max_size=4).map(tuple)
        case _:
            return structs(element.item)


def structs(kind: Any) -> st.SearchStrategy[Any]:
    """Values of one struct inside messages."""
    if kind is m.ParameterValue:
        return _values
    if kind is m.DeviceId:
        return _device_ids
    if kind is m.Event:
        return _events
    if kind is m.ParameterFault:
        return st.builds(m.ParameterFault, _words, st.sampled_from(sorted(CPE_FAULTS)), _words)
    return st.builds(kind, **{element.field: _of(kind, element) for element in STRUCTS[kind]})


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of one kind of message."""
    if kind is m.Fault:
        codes = st.sampled_from(sorted(CPE_FAULTS | ACS_FAULTS))
        fields = {element.field: _of(kind, element) for element in FAULT if element.kind is not Kind.UNSIGNED}
        return st.builds(m.Fault, fault_code=codes, soap_code=st.sampled_from(["Client", "Server"]), **fields)
    fields = {element.field: _of(kind, element) for element in MESSAGES[kind] if element.field}
    if kind in {m.TransferComplete, m.AutonomousTransferComplete}:
        fields |= {"fault_code": st.sampled_from([0, *sorted(TRANSFER_FAULTS)]), "fault_string": _words}
    return st.builds(kind, **fields)


KINDS = (*MESSAGES, m.Fault)


def any_message() -> st.SearchStrategy[Any]:
    return st.sampled_from(KINDS).flatmap(of)

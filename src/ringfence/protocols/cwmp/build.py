"""An `Envelope` to bytes. What the ACS sends is written to the letter of the schema, or not at all.

A message that the schema does not allow (a CommandKey of 33 characters, a boolean "maybe") is an operator's wish that cannot be sent:
OperatorError, with what to change. Messages of devices are written for simulators and tests; these carry whatever a device may carry,
as long as it is XML.
"""

import re
from datetime import date
from typing import Any

from ringfence.base.errors import OperatorError
from ringfence.protocols.cwmp.layout import FAULT, FAULT_PARTS, FROM_ACS, MESSAGES, STRUCTS, Element, Kind
from ringfence.protocols.cwmp.messages import (
    UNKNOWN_TIME,
    Envelope,
    Fault,
    Message,
    NoMessage,
    ParameterValue,
    SetParameterValues,
    UnknownMessage,
)
from ringfence.protocols.cwmp.quirks import DEFAULT, Literal, Quirks

MAX_UNSIGNED = 4_294_967_295

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_OPEN = (
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/" '
    'xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xmlns:cwmp="urn:dslforum-org:cwmp-'
)
_CLOSE = "</soapenv:Body></soapenv:Envelope>"

# A text without any of these stands as it is. CR is written as a reference, because a reader would make LF of it (XML 1.0 2.11).
_plain = re.compile("[\t\n\x20-%'-;=?-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*").fullmatch
_legal = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*").fullmatch
# XML Schema part 2, 3.2.7: '-'? yyyy '-' mm '-' dd 'T' hh ':' mm ':' ss ('.' s+)? (zzzzzz)?
_date_time = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9])?"
).fullmatch
_integer = re.compile(r"[+-]?[0-9]{1,20}").fullmatch
_RANGES = {
    "xsd:int": (-(2**31), 2**31 - 1),
    "xsd:unsignedInt": (0, 2**32 - 1),
    "xsd:long": (-(2**63), 2**63 - 1),
    "xsd:unsignedLong": (0, 2**64 - 1),
}
_PATTERNS = {
    "xsd:hexBinary": re.compile(r"(?:[0-9A-Fa-f]{2})*").fullmatch,
    "xsd:base64": re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?").fullmatch,
    "xsd:base64Binary": re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?").fullmatch,
    "xsd:decimal": re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})").fullmatch,
}
_BOOLEANS = {"0": False, "false": False, "1": True, "true": True}
# `base64` is a type of the SOAP encoding; `object` is no type that a value can have.
_WRITTEN_TYPES = {"xsd:base64": "soapenc:base64", "xsd:object": "xsd:string"}


def build(envelope: Envelope, quirks: Quirks = DEFAULT) -> bytes:
    """The body of an HTTP message, UTF-8. OperatorError (`unsendable`) when the message breaks the schema or cannot stand in XML."""
    message = envelope.message
    parts = [_DECLARATION if quirks.xml_declaration else "", _OPEN, envelope.version, '"><soapenv:Header>']
    if envelope.id:
        parts.append(f'<cwmp:ID soapenv:mustUnderstand="1">{_escaped(envelope.id)}</cwmp:ID>')
    if envelope.hold_requests:
        parts.append('<cwmp:HoldRequests soapenv:mustUnderstand="1">1</cwmp:HoldRequests>')
    if envelope.session_timeout:
        parts.append(f'<cwmp:SessionTimeout soapenv:mustUnderstand="0">{envelope.session_timeout}</cwmp:SessionTimeout>')
    if envelope.no_more_requests:
        parts.append('<cwmp:NoMoreRequests soapenv:mustUnderstand="1">1</cwmp:NoMoreRequests>')
    parts.append("</soapenv:Header><soapenv:Body>")
    _write_message(parts, message, quirks)
    parts.append(_CLOSE)
    return "".join(parts).encode()


def _write_message(parts: list[str], message: Message, quirks: Quirks) -> None:
    if isinstance(message, NoMessage):
        return
    if isinstance(message, UnknownMessage):
        raise OperatorError(f"{message.method!r} is no message that can be built.", reason="unsendable")
    if isinstance(message, Fault):
        parts.append(f"<soapenv:Fault><faultcode>{'Server' if message.soap_code == 'Server' else 'Client'}</faultcode>")
        parts.append("<faultstring>CWMP fault</faultstring><detail><cwmp:Fault>")
        _write(parts, message, FAULT, quirks, strict=False)
        parts.append("</cwmp:Fault></detail></soapenv:Fault>")
        return
    kind = type(message)
    name = kind.__name__
    elements = MESSAGES[kind]
    if not elements:
        parts.append(f"<cwmp:{name}/>")
        return
    parts.append(f"<cwmp:{name}>")
    _write(parts, message, elements, quirks, strict=kind in FROM_ACS, checked=kind is SetParameterValues)
    parts.append(f"</cwmp:{name}>")


def _write(parts: list[str], value: Any, elements: tuple[Element, ...], quirks: Quirks, *, strict: bool, checked: bool = False) -> None:  # noqa: C901, PLR0912 - one branch for each kind of element
    for element in elements:
        name = element.name
        match element.kind:
            case Kind.WORD | Kind.TEXT:
                text = getattr(value, element.field)
                if strict:
                    _check(element, text)
                parts.append(f"<{name}>{_escaped(text)}</{name}>")
            case Kind.UNSIGNED:
                parts.append(f"<{name}>{_number(element, getattr(value, element.field), strict=strict)}</{name}>")
            case Kind.VALUE:
                parts.append(_written_value(value, quirks, checked=checked))
            case Kind.FLAG:
                parts.append(f"<{name}>{_flag(element, getattr(value, element.field), quirks)}</{name}>")
            case Kind.PROSE:
                parts.append(f"<{name}>{_escaped(getattr(value, element.field)[: element.limit])}</{name}>")
            case Kind.TIME:
                time = getattr(value, element.field)
                parts.append(f"<{name}>{time if _is_time(time) else UNKNOWN_TIME}</{name}>")
            case Kind.WORDS:
                _write_words(parts, element, getattr(value, element.field), strict=strict)
            case Kind.ITEMS:
                _write_items(parts, element, getattr(value, element.field), quirks, strict=strict, checked=checked)
            case Kind.REPEATED:
                for item in getattr(value, element.field):
                    parts.append(f"<{name}>")
                    _write(parts, item, STRUCTS[element.item], quirks, strict=strict)
                    parts.append(f"</{name}>")
            case Kind.STRUCT:
                parts.append(f"<{name}>")
                inner, inside = (getattr(value, element.field), STRUCTS[element.item]) if element.field else (value, FAULT_PARTS)
                _write(parts, inner, inside, quirks, strict=strict)
                parts.append(f"</{name}>")


def _write_items(parts: list[str], element: Element, items: tuple[Any, ...], quirks: Quirks, *, strict: bool, checked: bool) -> None:
    """A SOAP array: the type and number of its items stand in an attribute, and devices count on it."""
    if strict and element.limit and len(items) > element.limit:
        raise OperatorError(f"{element.name} takes at most {element.limit} entries, not {len(items)}.", reason="unsendable")
    inside = STRUCTS[element.item]
    parts.append(f'<{element.name} soapenc:arrayType="cwmp:{element.item_name}[{len(items)}]">')
    for item in items:
        parts.append(f"<{element.item_name}>")
        _write(parts, item, inside, quirks, strict=strict, checked=checked)
        parts.append(f"</{element.item_name}>")
    parts.append(f"</{element.name}>")


def _write_words(parts: list[str], element: Element, words: tuple[str, ...], *, strict: bool) -> None:
    parts.append(f'<{element.name} soapenc:arrayType="xsd:string[{len(words)}]">')
    for word in words:
        if strict:
            _check(element, word)
        parts.append(f"<string>{_escaped(word)}</string>")
    parts.append(f"</{element.name}>")


def _written_value(parameter: ParameterValue, quirks: Quirks, *, checked: bool) -> str:
    """The value with its type. Checked where it is to be set: a device answers a value of the wrong form with a fault, at best."""
    kind, value = parameter.type, parameter.value
    if checked:
        value = _checked_value(parameter, quirks)
    return f'<Value xsi:type="{_WRITTEN_TYPES.get(kind, kind)}">{_escaped(value)}</Value>'


def _checked_value(parameter: ParameterValue, quirks: Quirks) -> str:
    kind, value = parameter.type, parameter.value
    if kind == "xsd:boolean" and value in _BOOLEANS:
        return _literal(quirks.boolean, value=_BOOLEANS[value])
    fits = True
    if kind == "xsd:boolean":
        fits = False
    elif kind in _RANGES:
        low, high = _RANGES[kind]
        fits = _integer(value) is not None and low <= int(value) <= high
    elif kind == "xsd:dateTime":
        fits = _is_time(value)
    elif kind in _PATTERNS:
        fits = _PATTERNS[kind](value) is not None
    elif kind not in {"xsd:string", "xsd:object"}:
        raise OperatorError(f"{parameter.name}: there is no type {kind[:40]!r}.", reason="unsendable")
    if not fits:
        # The value is not named: it may be a password.
        raise OperatorError(f"{parameter.name}: the value is no {kind.removeprefix('xsd:')}.", reason="unsendable")
    return value


def _is_time(text: str) -> bool:
    found = _date_time(text)
    if found is None:
        return False
    try:
        date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return False
    return True


def _flag(element: Element, value: bool, quirks: Quirks) -> str:
    return _literal(quirks.next_level if element.name == "NextLevel" else quirks.boolean, value=value)


def _literal(literal: Literal, *, value: bool) -> str:
    if literal is Literal.NUMBER:
        return "1" if value else "0"
    return "true" if value else "false"


def _number(element: Element, value: int, *, strict: bool) -> int:
    top = element.limit if strict and element.limit else MAX_UNSIGNED
    if not 0 <= value <= top:
        raise OperatorError(f"{element.name} takes 0 to {top}, not {value}.", reason="unsendable")
    return value


def _check(element: Element, text: str) -> None:
    if len(text) > element.limit:
        raise OperatorError(f"{element.name} takes at most {element.limit} characters, not {len(text)}.", reason="unsendable")
    if element.pattern and re.fullmatch(element.pattern, text) is None:
        raise OperatorError(f"{element.name} cannot be {text[:64]!r} (TR-069 wants {element.pattern}).", reason="unsendable")


def _escaped(text: str) -> str:
    if _plain(text):
        return text
    if _legal(text) is None:
        raise OperatorError("A text holds a character that XML cannot carry; take it out.", reason="unsendable")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")

"""Bytes of one HTTP body to an `Envelope`; everything else leaves as a `PeerError` with a reason to count.

What real devices send is read: elements by local name in any order, whatever namespaces and prefixes, missing fields as their defaults,
numbers with blanks and leading zeros, characters that XML forbids as U+FFFD. What could be turned against a reader is refused before an
XML parser sees it: a DTD, entities, other encodings than UTF-8 and the Latin ones, oversize. The one thing to know: an empty body never
comes here, and a body that cannot be read is never taken for an empty one.
"""

import re
from collections.abc import Callable
from typing import Any

from lxml import etree

from ringfence.base.errors import PeerError
from ringfence.protocols.cwmp.layout import BY_NAME, FAULT, FAULT_PARTS, MESSAGES, STRUCTS, Element, Kind
from ringfence.protocols.cwmp.messages import Envelope, Fault, Message, NoMessage, ParameterValue, UnknownMessage

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Of a body after decompression (`oversized`). The whole tree of a large device (6,400 parameters) takes 1.4 MB."""
MAX_TAGS = 400_000
"""Opening and closing tags of a body (`too_many_tags`): memory is bounded by them, not by bytes."""
MAX_TAG_BYTES = 8_192
"""One tag with all its attributes (`tag_too_long`)."""
MAX_DEPTH = 255
"""Elements inside one another; the parser's own bound (`malformed`). What is known of a message lies seven deep."""
MAX_ITEMS = 65_536
"""Entries of one list (`too_many_items`)."""
MAX_WORD_CHARS = 1_024
"""Names, keys and codes (`text_too_long`); the schema ends at 256, devices do not."""
MAX_TEXT_CHARS = 65_536
"""Values and other texts (`text_too_long`)."""
MAX_UNSIGNED = 4_294_967_295

# Everything that reaches outside or multiplies is off; a reader may be used again, one body after the other.
_parser = etree.XMLParser(
    encoding="utf-8",
    resolve_entities=False,
    load_dtd=False,
    dtd_validation=False,
    attribute_defaults=False,
    no_network=True,
    huge_tree=False,
    recover=False,
    remove_comments=True,
    remove_pis=True,
)

# XML 1.0 2.8: XMLDecl ::= '<?xml' VersionInfo EncodingDecl? SDDecl? S? '?>'
_declaration = re.compile(rb"\A\s*<\?xml\s([^>]{0,200})\?>").match
_declared_encoding = re.compile(rb"encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']").search
_LATIN = {
    "iso-8859-1": "iso-8859-1",
    "iso8859-1": "iso-8859-1",
    "latin1": "iso-8859-1",
    "latin-1": "iso-8859-1",
    "iso-8859-15": "iso-8859-15",
    "windows-1252": "cp1252",
    "cp1252": "cp1252",
}
_UNICODE = {"utf-8", "utf8", "us-ascii", "ascii", ""}

# XML 1.0 2.2: Char ::= #x9 | #xA | #xD | [#x20-#xD7FF] | [#xE000-#xFFFD] | [#x10000-#x10FFFF]
_illegal = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_reference = re.compile(r"&#(?:x([0-9A-Fa-f]{1,8})|([0-9]{1,10}));")
_long_tag = re.compile(rb"<[^>]{%d}" % MAX_TAG_BYTES).search
_number = re.compile(r"\+?(-?)0*([0-9]{1,10})").fullmatch
_namespace = re.compile(r"urn:dslforum-org:cwmp-(1-[0-9]{1,2})").fullmatch
_TRUE = {"1", "true", "yes", "on"}
_TYPES = {
    "string", "int", "unsignedInt", "boolean", "dateTime", "base64", "base64Binary", "hexBinary", "long", "unsignedLong", "object",
    "decimal",
}  # fmt: skip
_XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"


def parse(body: bytes, charset: str = "") -> Envelope:
    """Read one envelope. `charset` is the one of the Content-Type header, if it has any. PeerError with a reason when it cannot be read."""
    root = _tree(_text(body, charset))
    if _local(root) != "Envelope":
        raise PeerError("The body is XML, but no SOAP envelope.", reason="not_soap")
    header = content = None
    for child in root:
        match _local(child):
            case "Header":
                header = child
            case "Body" if content is None:
                content = child
            case "Body":
                raise PeerError("An envelope with two bodies.", reason="many_messages")
    if content is None:
        raise PeerError("A SOAP envelope without a body.", reason="no_body")
    if len(content) > 1:
        raise PeerError("More than one message in an envelope.", reason="many_messages")
    message, version = _message(content[0]) if len(content) else (NoMessage(), "")
    return _envelope(header, message, version or _stated_version(root))


def _text(body: bytes, charset: str) -> bytes:
    """The body as UTF-8 without its declaration, free of what an XML parser should not see."""
    if len(body) > MAX_BODY_BYTES:
        raise PeerError(f"A body of more than {MAX_BODY_BYTES} bytes.", reason="oversized")
    body = body.removeprefix(b"\xef\xbb\xbf")
    declaration = _declaration(body)
    stated = _declared_encoding(declaration[1]) if declaration else None
    body = body[declaration.end() :] if declaration else body
    body = _as_utf8(body, stated[1].decode("ascii") if stated else "", charset)
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise PeerError("A message with a document type or entities.", reason="dtd")
    if body.count(b"<") > MAX_TAGS:
        raise PeerError(f"More than {MAX_TAGS} tags in a message.", reason="too_many_tags")
    if len(body) > MAX_TAG_BYTES and body.count(b"=") > MAX_TAG_BYTES // 16 and _long_tag(body):
        raise PeerError(f"A tag of more than {MAX_TAG_BYTES} bytes.", reason="tag_too_long")
    return body


def _as_utf8(body: bytes, declared: str, charset: str) -> bytes:
    """UTF-8 is read as UTF-8, whatever it is called: a Thomson labels it ISO-8859-1. Else one of its two labels must be a Latin one."""
    labels = [label.strip().strip("\"'").lower() for label in (declared, charset)]
    if any(label not in _UNICODE and label not in _LATIN for label in labels):
        raise PeerError("A message in a character encoding that is not read; UTF-8 and ISO-8859-1 are.", reason="encoding")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        latin = next((_LATIN[label] for label in labels if label in _LATIN), "")
        if not latin:
            raise PeerError("The message is not UTF-8, and says nothing else of itself.", reason="encoding") from None
        return body.decode(latin, "replace").encode()
    return body


def _tree(body: bytes) -> Any:
    if not body.strip():
        raise PeerError("A body of blanks.", reason="malformed")
    try:
        return etree.fromstring(body, _parser)
    except etree.XMLSyntaxError:
        cleaned = _without_illegal(body)
    if cleaned == body:
        raise PeerError("The body is no well-formed XML.", reason="malformed")
    try:
        return etree.fromstring(cleaned, _parser)
    except etree.XMLSyntaxError:
        raise PeerError("The body is no well-formed XML.", reason="malformed") from None


def _without_illegal(body: bytes) -> bytes:
    """Characters that XML cannot hold, and references to such, as U+FFFD. Only where the parser refused: it costs more than reading."""
    text = _illegal.sub("\ufffd", body.decode("utf-8"))
    return _reference.sub(_legal_reference, text).encode()


def _legal_reference(found: re.Match[str]) -> str:
    point = int(found[1], 16) if found[1] else int(found[2])
    return "\ufffd" if point > 0x10FFFF or _illegal.match(chr(point)) else found[0]


def _envelope(header: Any, message: Message, version: str) -> Envelope:
    if header is None:
        return Envelope(message, version=version or "1-0")
    name, hold, timeout, no_more = "", False, 0, False
    for child in header:
        match _local(child):
            case "ID":
                name = _word(child)
                version = version or _version(child)
            case "HoldRequests":
                hold = _flag(child)
            case "SessionTimeout" | "sessionTimeout":
                timeout = _unsigned(child)
            case "NoMoreRequests":
                no_more = _flag(child)
    return Envelope(message, name, version or "1-0", hold, timeout, no_more)


def _message(element: Any) -> tuple[Message, str]:
    name = _local(element)
    if name == "Fault":
        return _fault(element)
    kind = BY_NAME.get(name)
    if kind is None:
        return UnknownMessage(_bounded(name, MAX_WORD_CHARS)), _version(element)
    message: Message = _struct(element, kind)
    return message, _version(element)


def _fault(element: Any) -> tuple[Fault, str]:
    """A SOAP fault. Without the detail of CWMP it is still one, with code 0 and the text that it has."""
    soap_code, text, version = "Client", "", ""
    found: dict[str, Any] = {}
    for child in element:
        match _local(child).lower():
            case "faultcode":
                soap_code = "Server" if _word(child).rpartition(":")[2].lower() == "server" else "Client"
            case "faultstring":
                text = _prose(child)
            case "detail":
                for detail in child:
                    if _local(detail) == "Fault":
                        found, version = _fields(detail, _FAULT), _version(detail)
    return Fault(**({"fault_string": text} | found), soap_code=soap_code), version


def _struct(element: Any, kind: Any) -> Any:
    return kind(**_fields(element, _READERS[kind]))


def _fields(element: Any, readers: dict[str, tuple[str, Callable[[Any], Any]]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for child in element:
        tag = child.tag
        reader = readers.get(tag) or readers.get(tag.rpartition("}")[2])
        if reader is None:
            continue
        field, read = reader
        if not field:
            found.update(read(child))
        elif field in found and field in _COLLECTED:
            found[field] = _more(found[field], read(child))
        else:
            found[field] = read(child)
    return found


def _more(before: tuple[Any, ...], after: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(before) >= MAX_ITEMS:
        raise PeerError(f"More than {MAX_ITEMS} entries in a list.", reason="too_many_items")
    return before + after


def _items(kind: Any) -> Callable[[Any], tuple[Any, ...]]:
    def read(element: Any) -> tuple[Any, ...]:
        if len(element) > MAX_ITEMS:
            raise PeerError(f"More than {MAX_ITEMS} entries in a list.", reason="too_many_items")
        return tuple([_struct(item, kind) for item in element])

    return read


def _parameters(element: Any) -> tuple[ParameterValue, ...]:
    """The list that is read most, by hand: three times as fast as by the table."""
    if len(element) > MAX_ITEMS:
        raise PeerError(f"More than {MAX_ITEMS} entries in a list.", reason="too_many_items")
    found = []
    for item in element:
        name, value, kind = "", "", "xsd:string"
        for part in item:
            tag = part.tag
            if tag == "Name" or (tag != "Value" and tag.endswith("}Name")):
                name = _name(part)
            elif tag == "Value" or tag.endswith("}Value"):
                value = part.text or ""
                stated = part.get(_XSI_TYPE)
                if stated is not None and stated != "xsd:string":
                    kind = _type(stated)
                if len(value) > MAX_TEXT_CHARS:
                    raise _too_long(MAX_TEXT_CHARS)
                if kind != "xsd:string":
                    value = value.strip()
        found.append(ParameterValue(name, value, kind))
    return tuple(found)


def _words(element: Any) -> tuple[str, ...]:
    if len(element) > MAX_ITEMS:
        raise PeerError(f"More than {MAX_ITEMS} entries in a list.", reason="too_many_items")
    return tuple([_word(item) for item in element])


def _name(element: Any) -> str:
    """A parameter's name. Blanks and line breaks inside it are damage (a FRITZ!Box 7170, a name of TR-098 1.8), never meant."""
    text = element.text or ""
    if len(text) > MAX_WORD_CHARS:
        raise _too_long(MAX_WORD_CHARS)
    return text if text.isalnum() else "".join(text.split())


def _word(element: Any) -> str:
    return _bounded((element.text or "").strip(), MAX_WORD_CHARS)


def _plain(element: Any) -> str:
    return _bounded(element.text or "", MAX_TEXT_CHARS)


def _prose(element: Any) -> str:
    return (element.text or "")[:MAX_WORD_CHARS].strip()


def _unsigned(element: Any) -> int:
    """Empty is 0, negative is 0, and more than fits is as much as fits."""
    text = (element.text or "").strip()
    if not text:
        return 0
    found = _number(text)
    if found is None:
        raise PeerError("Something else where a number should stand.", reason="bad_number")
    return 0 if found[1] else min(int(found[2]), MAX_UNSIGNED)


def _flag(element: Any) -> bool:
    return (element.text or "").strip().lower() in _TRUE


def _type(stated: str) -> str:
    """The type by its local name; one that nobody knows counts as a string."""
    local = stated.rpartition(":")[2].strip()
    return f"xsd:{local}" if local in _TYPES else "xsd:string"


def _fault_struct(element: Any) -> dict[str, Any]:
    return _fields(element, _FAULT_PARTS)


def _bounded(text: str, limit: int) -> str:
    if len(text) > limit:
        raise _too_long(limit)
    return text


def _too_long(limit: int) -> PeerError:
    return PeerError(f"A text of more than {limit} characters.", reason="text_too_long")


def _local(element: Any) -> str:
    name: str = element.tag.rpartition("}")[2]
    return name


def _version(element: Any) -> str:
    found = _namespace(element.tag[1:].partition("}")[0])
    return found[1] if found else ""


def _stated_version(root: Any) -> str:
    """The version that is declared at the envelope and used nowhere, as in the faults of devices that leave out the detail."""
    return next((found[1] for uri in root.nsmap.values() if (found := _namespace(uri))), "")


_BY_KIND: dict[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _plain,
    Kind.WORD: _word,
    Kind.PROSE: _prose,
    Kind.UNSIGNED: _unsigned,
    Kind.FLAG: _flag,
    Kind.WORDS: _words,
    Kind.TIME: _word,
    Kind.VALUE: _plain,
    Kind.STRUCT: _fault_struct,
}
_NAMES = {"Name", "ParameterName", "ObjectName", "ParameterPath"}


def _reader(element: Element) -> Callable[[Any], Any]:
    item = element.item
    if item is ParameterValue:
        return _parameters
    match element.kind:
        case Kind.ITEMS:
            return _items(item)
        case Kind.REPEATED:
            return lambda child: (_struct(child, item),)
        case Kind.STRUCT if item is not None:
            return lambda child: _struct(child, item)
        case _:
            return _name if element.name in _NAMES else _BY_KIND[element.kind]


def _readers(elements: tuple[Element, ...]) -> dict[str, tuple[str, Callable[[Any], Any]]]:
    return {element.name: (element.field, _reader(element)) for element in elements}


_READERS = {kind: _readers(elements) for kind, elements in (MESSAGES | STRUCTS).items()}
_FAULT = _readers(FAULT)
_FAULT_PARTS = _readers(FAULT_PARTS)
_COLLECTED = {"parameter_faults"}

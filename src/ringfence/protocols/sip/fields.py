"""The pieces that SIP header fields share: lists, name-addr, parameters. Pure text in, text out; nothing here raises.

Quoted strings decide where a comma, a semicolon or an angle bracket counts. The ordinary case has none of the trouble, so each function
asks cheaply first and walks the text only when it must.
"""

import re

# RFC 3261 25.1:  quoted-string = SWS DQUOTE *(qdtext / quoted-pair ) DQUOTE
_quoted_string = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"').match
# One element up to its comma: quoted strings and <...> are stepped over, a lone quote or bracket is an ordinary character.
_element = re.compile(r'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|<[^>]*+>|[^,])*+').match
_parameter = re.compile(r';[ \t]*+([^\s=;"<>]++)[ \t]*+(?:=[ \t]*+("[^"\\]*+(?:\\.[^"\\]*+)*+"|[^;,\s]*+))?').findall

MAX_ELEMENTS = 64
"""Values of one list that are looked at; the rest of the list is not read."""


def split_list(value: str) -> list[str]:
    """The values of a comma-separated header field, without surrounding blanks."""
    if "," not in value:
        return [value]
    elements: list[str] = []
    start = 0
    while start <= len(value) and len(elements) < MAX_ELEMENTS:
        found = _element(value, start)
        end = found.end() if found else len(value)
        if element := value[start:end].strip():
            elements.append(element)
        start = end + 1
    return elements or [""]


def split_name_addr(value: str) -> tuple[str, str]:
    """`(URI, parameters)` of a From, To, Contact or the like; an empty URI when there is none.

    RFC 3261 25.1: `( name-addr / addr-spec ) *( SEMI generic-param )`, `name-addr = [ display-name ] LAQUOT addr-spec RAQUOT`. Without
    brackets everything after the first semicolon is a parameter of the header field, not of the URI (20.10).
    """
    start = 0
    if value[:1] == '"':
        quoted = _quoted_string(value)
        if quoted is None:
            return "", ""
        start = quoted.end()
    opening = value.find("<", start)
    if opening < 0:
        uri, semicolon, parameters = value[start:].partition(";")
        return uri.strip(), semicolon + parameters
    closing = value.find(">", opening)
    if closing < 0:
        return "", ""
    return value[opening + 1 : closing].strip(), value[closing + 1 :]


def parameter(parameters: str, name: str) -> str:
    """The value of a parameter in `;a=b;c`, unquoted; empty when it is missing or has none. `name` in lower case."""
    # The plain spelling, and no quoted string that could hide the same letters.
    key = f";{name}="
    at = parameters.find(key)
    if at >= 0 and '"' not in parameters:
        start = at + len(key)
        end = parameters.find(";", start)
        return (parameters[start:] if end < 0 else parameters[start:end]).strip()
    if name not in parameters.lower():
        return ""
    for found, value in _parameter(parameters):
        if found.lower() == name:
            return str(value[1:-1] if value[:1] == '"' else value)
    return ""

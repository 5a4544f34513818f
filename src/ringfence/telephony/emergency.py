"""Emergency and harm-line calls in every spelling that reaches them: one grammar for the product and for the Kamailio include.

`EmergencyCalls.recognises` judges a request URI here; `patterns` writes the same grammar as POSIX extended regular expressions for the
edge, without a backslash or a quote, so that they stand in a configuration string as they are; `corpus` lists spellings, on which tests
hold the two against each other. It errs to one side only: what might be an emergency call is one, and a longer number that merely begins
with 110 is none. The one thing to know: nothing in a caller's settings, number plan or account takes part in the verdict.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from ringfence.base.errors import OperatorError

ALWAYS = ("112", "116xxx")
"""Reached everywhere in Europe, whatever the operator's own list says: 112 and the harmonised harm lines."""
MAX_NUMBERS = 64
MAX_NUMBER_DIGITS = 8
MAX_URI_CHARACTERS = 1024
"""Of a longer URI only this much is looked at."""

_SEPARATORS = str.maketrans("", "", "-.() ")
_HEAD = re.compile(r"(?:(?:sips?|tel):)?([^;:@?]*)", re.IGNORECASE)
_URN = re.compile(r"urn:service:sos(?:[.;?@].*)?", re.IGNORECASE | re.DOTALL)
_CONTEXT = re.compile(r";phone-context=(?:\+|%2b)([0-9]*)", re.IGNORECASE)

_POSIX_SEPARATOR = "([-.() ]|%2[89DdEe]|%20)*"
_POSIX_PLUS = "([+]|%2[Bb])"
_POSIX_SCHEME = "(([Ss][Ii][Pp][Ss]?|[Tt][Ee][Ll]):)?"
_POSIX_CONTEXT = "[Pp][Hh][Oo][Nn][Ee]-[Cc][Oo][Nn][Tt][Ee][Xx][Tt]="
_POSIX_URN = "^[Uu][Rr][Nn]:[Ss][Ee][Rr][Vv][Ii][Cc][Ee]:[Ss][Oo][Ss]([.;?@].*)?$"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyCalls:
    """The operator's emergency numbers. All fields are digits; in `numbers` an `x` stands for any digit."""

    country_code: str
    area_codes: tuple[str, ...]
    numbers: tuple[str, ...]
    national_prefix: str
    international_prefixes: tuple[str, ...]
    _dialled: re.Pattern[str] = field(repr=False, compare=False)
    _in_area: re.Pattern[str] | None = field(repr=False, compare=False)

    def recognises(self, request_uri: str) -> bool:
        """Whether a request URI, or a bare user part, reaches an emergency service."""
        uri = request_uri[:MAX_URI_CHARACTERS]
        if uri[:4].lower() == "urn:":
            return _URN.fullmatch(uri) is not None
        head = _HEAD.match(uri)
        text = head.group(1) if head else ""
        if "%" in text:
            text = unquote(text)
        digits = text.translate(_SEPARATORS).removeprefix("+")
        if not digits.isascii() or not digits.isdigit():
            return False
        if self._dialled.fullmatch(digits):
            return True
        if self._in_area is None or not self._in_area.fullmatch(digits):
            return False
        return any(context.startswith(self.country_code) for context in _CONTEXT.findall(uri))


def emergency_calls(
    country_code: str,
    area_codes: Sequence[str],
    emergency: Sequence[str],
    *,
    national_prefix: str = "0",
    international_prefixes: Sequence[str] = ("00",),
) -> EmergencyCalls:
    """The recogniser for an operator; `ALWAYS` is added to its list. OperatorError for a number that is none."""
    numbers = tuple(dict.fromkeys((*(number.lower() for number in emergency), *ALWAYS)))
    if len(numbers) > MAX_NUMBERS:
        raise OperatorError(f"The emergency list has more than {MAX_NUMBERS} numbers; shorten it", reason="emergency_list")
    for number in numbers:
        if not re.fullmatch("[0-9]{2}[0-9x]*", number) or len(number) > MAX_NUMBER_DIGITS:
            raise OperatorError(
                f"{number!r} is no emergency number; write 2 to {MAX_NUMBER_DIGITS} digits, x for any digit, such as 112 or 116xxx",
                reason="emergency_list",
            )
    service = "(?:" + "|".join(number.replace("x", "[0-9]") for number in numbers) + ")"
    introduction = "(?:" + "|".join(international_prefixes) + ")?" if international_prefixes else ""
    trunk = f"(?:{national_prefix})?" if national_prefix else ""
    area = "(?:" + "|".join(area_codes) + ")?" if area_codes else ""
    middle = f"(?:{country_code}{trunk}{area}" + (f"|{national_prefix}{area}" if national_prefix else "") + ")?"
    return EmergencyCalls(
        country_code=country_code,
        area_codes=tuple(area_codes),
        numbers=numbers,
        national_prefix=national_prefix,
        international_prefixes=tuple(international_prefixes),
        _dialled=re.compile(introduction + middle + service),
        _in_area=re.compile("(?:" + "|".join(area_codes) + ")" + service) if area_codes else None,
    )


def patterns(
    country_code: str,
    area_codes: Sequence[str],
    emergency: Sequence[str],
    *,
    national_prefix: str = "0",
    international_prefixes: Sequence[str] = ("00",),
) -> list[str]:
    """POSIX extended regular expressions over the request URI (`$ru`) or its user part (`$rU`): an emergency call matches one of them.

    They hold neither backslash nor quote and do not depend on a flag for upper and lower case.
    """
    calls = emergency_calls(
        country_code, area_codes, emergency, national_prefix=national_prefix, international_prefixes=international_prefixes
    )
    introduction = "(" + "|".join([_POSIX_PLUS, *(_posix(prefix) for prefix in international_prefixes)]) + f"{_POSIX_SEPARATOR})?"
    area = "(" + "|".join(_posix(code) for code in area_codes) + ")" if area_codes else ""
    optional_area = f"({area}{_POSIX_SEPARATOR})?" if area else ""
    trunk = _posix(national_prefix) if national_prefix else ""
    optional_trunk = f"({trunk}{_POSIX_SEPARATOR})?" if trunk else ""
    middle = f"{_posix(country_code)}{_POSIX_SEPARATOR}{optional_trunk}{optional_area}"
    if trunk:
        middle += f"|{trunk}{_POSIX_SEPARATOR}{optional_area}"
    written = [_POSIX_URN]
    for number in calls.numbers:
        service = _posix(number) + _POSIX_SEPARATOR
        start = f"^{_POSIX_SCHEME}{_POSIX_SEPARATOR}"
        written.append(f"{start}{introduction}({middle})?{service}([;:@?].*)?$")
        if area:
            context = f";(.*;)?{_POSIX_CONTEXT}{_POSIX_PLUS}{country_code}"
            written.append(f"{start}{area}{_POSIX_SEPARATOR}{service}([:@?].*)?{context}")
    return written


def corpus(
    country_code: str,
    area_codes: Sequence[str],
    emergency: Sequence[str],
    *,
    national_prefix: str = "0",
    international_prefixes: Sequence[str] = ("00",),
) -> list[str]:
    """Request URIs in every spelling of every number, without duplicates, for tests of the product and of the include."""
    found = ["urn:service:sos", "URN:service:sos", "urn:service:sos.police", "urn:service:sos.fire", "urn:service:sos.ambulance"]
    for entry in dict.fromkeys((*emergency, *ALWAYS)):
        number = entry.lower().replace("x", "117", 1).replace("x", "")[: len(entry)] if "x" in entry.lower() else entry
        for dialled in _spellings(number, country_code, area_codes, national_prefix, international_prefixes):
            found.extend(_uris(dialled, country_code))
        for code in area_codes:
            found.append(f"tel:{code}{number};phone-context=+{country_code}")
            found.append(f"sip:{code}{number};phone-context=+{country_code}@198.51.100.7;user=phone")
    return list(dict.fromkeys(found))


def _posix(digits: str) -> str:
    """A number as an expression that also takes each digit percent-escaped and visual separators between digits."""
    return _POSIX_SEPARATOR.join("([0-9]|%3[0-9])" if digit == "x" else f"({digit}|%3{digit})" for digit in digits)


def _spellings(
    number: str, country_code: str, area_codes: Sequence[str], national_prefix: str, international_prefixes: Sequence[str]
) -> Iterator[str]:
    yield number
    yield f"+{number}"
    yield "-".join(number)
    yield f"{national_prefix}{number}"
    for area in ("", *area_codes):
        if area:
            yield f"{national_prefix}{area}{number}"
            yield f"({national_prefix}{area}) {number}"
        yield f"{country_code}{area}{number}"
        for introduction in ("+", *international_prefixes):
            yield f"{introduction}{country_code}{area}{number}"
            yield f"{introduction}{country_code}-{area}-{number}"
            yield f"{introduction}{country_code}({national_prefix}){area}{number}"


def _uris(dialled: str, country_code: str) -> Iterator[str]:
    escaped = dialled.replace(" ", "%20")
    yield f"sip:{escaped}@example.net"
    yield f"sips:{escaped}@example.net:5061;transport=tls"
    yield f"sip:{escaped};phone-context=+{country_code}@example.net;user=phone"
    yield f"sip:{escaped};phone-context=example.net@example.net"
    yield f"tel:{escaped}"
    yield f"tel:{escaped};phone-context=+{country_code}"
    yield f"SIP:{escaped}@example.net"
    yield f"sip:{escaped.replace('+', '%2B')}@example.net"
    percent = "".join(f"%3{digit}" if digit.isdigit() else digit for digit in dialled)
    yield f"sip:{percent.replace(' ', '%20')}@example.net"

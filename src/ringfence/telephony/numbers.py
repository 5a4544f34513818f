"""What was dialled to E.164 digits, by the operator's dial plan.

Reads national, international, `+`, local (area code) and phone-context forms, tel: URIs and visual separators. `phonenumbers` is asked
once, when a plan is made; the hot path is text only. What is no number stays as dialled: nothing here invents one. The one thing to
know: digits beyond the fifteen of E.164 reach nobody, and the call still reaches the number before them, so they are cut, not believed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import phonenumbers

from ringfence.base.errors import OperatorError

E164_DIGITS = 15
"""The longest number of E.164."""
SHORTEST = 3
"""Digits below which something is a name of a function, not a number."""
BARE_E164_DIGITS = 11
"""Digits without any prefix from this length on are E.164 without its `+`, as trunks send it: no local number is that long."""
MAX_DIALLED = 128
"""Characters of a user part that are looked at; a longer one is no number."""

_SEPARATORS = str.maketrans("", "", "-.() ")
_INTERNATIONAL_LENGTH = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DialPlan:
    """How numbers are dialled at this operator. Made by `plan_for`; all fields are digits without signs."""

    country: str
    country_code: str
    national_prefix: str
    international_prefixes: tuple[str, ...]
    area_codes: tuple[str, ...]
    national_length: int
    """Digits of every national number where the country has one length only (NANP), else 0."""
    short_leads: tuple[str, ...]
    """What short codes begin with and no local number does: `1` in Germany. They stand behind the country code without an area."""

    def e164(self, dialled: str, phone_context: str = "") -> str:
        """Digits of the E.164 number without `+`, or an empty text when `dialled` is no number."""
        plus, digits = dialled_digits(dialled)
        if not digits:
            return ""
        if plus:
            return _bounded(digits)
        if phone_context.startswith("+"):
            return self._in_context(digits, phone_context)
        return self._national(digits, self.area_codes[0] if self.area_codes else "")

    def of_uri(self, uri: str) -> str:
        """E.164 digits of a SIP, SIPS or tel URI, or an empty text."""
        user, context = split_uri(uri)
        return self.e164(user, context)

    def _national(self, digits: str, area_code: str) -> str:
        for prefix in self.international_prefixes:
            if digits.startswith(prefix):
                return _bounded(digits[len(prefix) :])
        trunk = self.national_prefix
        if trunk and digits.startswith(trunk) and self._carries_trunk(digits):
            return _bounded(self.country_code + digits[len(trunk) :])
        if len(digits) == self.national_length or (digits.startswith(self.short_leads) and SHORTEST <= len(digits) < BARE_E164_DIGITS):
            return self.country_code + digits
        if len(digits) < SHORTEST or len(digits) >= BARE_E164_DIGITS:
            return _bounded(digits)
        return _bounded(self.country_code + area_code + digits)

    def _carries_trunk(self, digits: str) -> bool:
        """Whether the leading digit is the national prefix: always, except where all national numbers have one length (1 in NANP)."""
        return not self.national_length or len(digits) == self.national_length + len(self.national_prefix)

    def _in_context(self, digits: str, context: str) -> str:
        """RFC 3966, 5.1.5: a local number is dialled as within the area that its phone-context names."""
        _, area = dialled_digits(context)
        if area.startswith(self.country_code):
            return self._national(digits, area[len(self.country_code) :])
        for prefix in self.international_prefixes:
            if digits.startswith(prefix):
                return _bounded(digits[len(prefix) :])
        return _bounded(area + digits.removeprefix("0"))


def plan_for(country: str, area_codes: Sequence[str] = ()) -> DialPlan:
    """The plan of a country (two letters) and the operator's own area codes; OperatorError when there is no such country."""
    region = country.upper()
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
    if metadata is None or metadata.general_desc is None:
        raise OperatorError(f"{country!r} is no country with a numbering plan; write two letters such as DE", reason="unknown_country")
    for code in area_codes:
        if not code.isascii() or not code.isdigit() or code.startswith("0") or len(code) > 6:
            raise OperatorError(f"{code!r} is no area code; write it without the leading 0, such as 30", reason="bad_area_code")
    lengths = set(metadata.general_desc.possible_length)
    return DialPlan(
        country=region,
        country_code=str(metadata.country_code),
        national_prefix=metadata.national_prefix or "",
        international_prefixes=_literal_prefixes(metadata.international_prefix or "00"),
        area_codes=tuple(area_codes),
        national_length=lengths.pop() if len(lengths) == 1 else 0,
        short_leads=("1",) if metadata.national_prefix == "0" else (),
    )


def split_uri(uri: str) -> tuple[str, str]:
    """`(user part, phone-context)` of a SIP, SIPS or tel URI or of a bare user part; percent escapes are undone, parameters cut off."""
    rest = uri
    colon = uri.find(":", 0, 8)
    if colon > 0 and uri[:colon].isalpha():
        rest = uri[colon + 1 :]
    at = rest.rfind("@")
    if at >= 0:
        rest = rest[:at]
    elif colon > 0 and uri[:3].lower() != "tel":
        # `sip:112` has a host only, which some phones fill with what was dialled; an address has dots or brackets and is no number.
        rest = rest.partition("?")[0]
        if "." in rest or "[" in rest:
            return "", ""
    context = ""
    if ";" in rest:
        rest, _, parameters = rest.partition(";")
        context = _phone_context(parameters)
    if ":" in rest and not rest.startswith("["):
        rest = rest.partition(":")[0]
    if "%" in rest:
        rest = unquote(rest)
    return rest, context


def dialled_digits(dialled: str) -> tuple[bool, str]:
    """`(had a plus, digits)` of what was dialled without visual separators; no digits when anything else is in it."""
    plus = dialled[:1] == "+"
    digits = dialled[1:] if plus else dialled
    if digits.isdigit() and digits.isascii() and len(digits) <= MAX_DIALLED:
        return plus, digits
    if len(dialled) > MAX_DIALLED:
        return False, ""
    bare = dialled.translate(_SEPARATORS)
    plus = bare[:1] == "+"
    digits = bare[1:] if plus else bare
    if digits.isascii() and digits.isdigit():
        return plus, digits
    return False, ""


def regions_of(number: str) -> frozenset[str]:
    """Countries that an E.164 number with this beginning (`+232`) can be in; nothing when that cannot be told, as for satellites."""
    digits = number.removeprefix("+")
    if not number.startswith("+") or not digits.isascii() or not digits.isdigit():
        return frozenset()
    for length in (1, 2, 3):
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:length])) if len(digits) >= length else None
        if regions:
            return frozenset() if "001" in regions else frozenset(regions)
    return frozenset()


def _phone_context(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "phone-context":
            return unquote(value.strip().strip('"')) if "%" in value else value.strip().strip('"')
    return ""


def _bounded(digits: str) -> str:
    return digits[:E164_DIGITS] if len(digits) >= SHORTEST else ""


def _literal_prefixes(pattern: str) -> tuple[str, ...]:
    """Every digit string of up to five digits that the plan's pattern of international prefixes accepts, longest first."""
    accepts = re.compile(pattern).fullmatch
    found = [
        text
        for length in range(1, _INTERNATIONAL_LENGTH + 1)
        for text in (str(value).zfill(length) for value in range(10**length))
        if accepts(text)
    ]
    return tuple(sorted(found, key=len, reverse=True))

"""What a person typed into the search, as what the indexes understand.

Pure. The one thing to know: a beginning is asked for as a range of code points, which an index of `text_pattern_ops` walks whatever the
plan; names are compared folded, so that case and width of letters do not matter.
"""

import ipaddress
import unicodedata
from dataclasses import dataclass

from ringfence.base.errors import OperatorError
from ringfence.telephony.numbers import DialPlan, dialled_digits

SHORTEST = 3
"""Characters of a search at the least: a shorter one is a list of everybody."""
LONGEST = 200
_SHORTEST_NUMBER = 5
_SURROGATES = range(0xD800, 0xE000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """One search."""

    text: str
    folded: str
    """As `folded` makes names."""
    accounts: tuple[str, ...]
    """Every way an account may be called that is this text or this number."""
    address: str
    """The IP address, empty when it is none."""


def sought(text: str, plan: DialPlan | None = None) -> Sought:
    """Read what was typed; `plan` makes local and national numbers E.164. OperatorError when it is too short, too long or unprintable."""
    bare = text.strip()
    if not SHORTEST <= len(bare) <= LONGEST or not bare.isprintable():
        raise OperatorError(f"search for {SHORTEST} to {LONGEST} printable characters", reason="bad_search")
    return Sought(text=bare, folded=folded(bare), accounts=_accounts(bare, plan), address=_address(bare))


def folded(name: str) -> str:
    """A name for comparing: compatibility forms and case are undone, white space is one space."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def past(beginning: str) -> str:
    """The least text, by code points, that is greater than every text with this beginning. `beginning` prints, so it has no last sign."""
    last = ord(beginning[-1]) + 1
    return beginning[:-1] + chr(_SURROGATES.stop if last in _SURROGATES else last)


def _accounts(text: str, plan: DialPlan | None) -> tuple[str, ...]:
    forms = [text]
    plus, digits = dialled_digits(text)
    if len(digits) >= _SHORTEST_NUMBER:
        forms += [digits, f"+{digits}"]
        number = digits if plus else (plan.e164(text) if plan else "")
        if number:
            forms += [number, f"+{number}", f"00{number}"]
        if plan and number.startswith(plan.country_code):
            forms.append(f"{plan.national_prefix}{number.removeprefix(plan.country_code)}")
    return tuple(dict.fromkeys(forms))


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return ""

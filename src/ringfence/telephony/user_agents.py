"""What a User-Agent says about the box: its family (maker and model, without versions and serial numbers) and whether it is a scanner.

A firmware update changes the text of a whole fleet in a night and the family of nothing; an account that is suddenly used by another
family is news. The text is the sender's own claim and proves nothing. The one thing to know: memory is bounded, because anybody may send
any text: what is remembered starts anew when it is full, and a family is cut after `MAX_FAMILY_CHARS`.
"""

import re
from typing import NamedTuple

from ringfence.base.ids import keyed_hash

MAX_REMEMBERED = 16_384
"""User-Agents whose family is remembered; beyond, the memory starts anew."""
MAX_FAMILY_CHARS = 48
MAX_FAMILY_WORDS = 5
MAX_READ_CHARS = 256

SCANNERS: tuple[str, ...] = (
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "svmap",
    "svwar",
    "svcrack",
    "sipcli",
    "sip-scan",
    "sipscan",
    "sundayddr",
    "vaxsipuseragent",
    "vaxipuseragent",
    "pplsip",
    "siparmyknife",
    "sivus",
    "smap",
    "iwar",
    "gulp",
    "sipptk",
    "mr.sip",
)
"""What the User-Agents of SIP scanners begin with or hold as a word, in lower case: sipvicious, its copies, and dialers that nobody but
fraudsters was seen with (VaxSIPUserAgent, pplsip)."""

_scanner = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(map(re.escape, SCANNERS))})").search
_parentheses = re.compile(r"\([^()]*+\)|\[[^\[\]]*+\]").sub
# Versions: `8.20`, `v1.2.3-rc1`, `/18`, `r154`; and serials: a MAC address, eight and more hexadecimal digits, seven and more digits.
_version = re.compile(r"[-_]?(?:rv|ver|version|build|rel|fw|v|r)?[.:_-]?\d+\.[\d.]*+\S*", re.IGNORECASE).search
_serial = re.compile(r"(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|(?=[a-z]*\d)[0-9a-f]{8,}|\d{7,}|v\d+|build|version", re.IGNORECASE).fullmatch
_words = re.compile(r"[^\s;,]+").findall


class AgentFamily(NamedTuple):
    """What rows hold of a User-Agent."""

    text: str
    key: int
    """Keyed hash of the family in lower case; 0 when there is none."""
    scanner: bool


NO_FAMILY = AgentFamily("", 0, scanner=False)


def family_of(user_agent: str) -> str:
    """Maker and model as people name them: `AVM FRITZ!Box 7590 164.07.57 (Nov 2023)` is `AVM FRITZ!Box 7590`."""
    kept: list[str] = []
    for word in _words(_parentheses(" ", user_agent[:MAX_READ_CHARS])):
        for place, part in enumerate(word.split("/")):
            # Behind a slash stands a version (`Linphone/3`) or a model (`Cisco/SPA504G-7.6.2b`).
            if not part or (place and part[0].isdigit()):
                continue
            version = _version(part)
            name = part[: version.start()] if version else part
            if name.strip("-_.:") and not _serial(name):
                kept.append(name.rstrip("-_.:"))
    return " ".join(kept[:MAX_FAMILY_WORDS])[:MAX_FAMILY_CHARS].strip()


def is_scanner(user_agent: str) -> bool:
    """Whether the User-Agent is a known scanner's."""
    return _scanner(user_agent[:MAX_READ_CHARS].lower()) is not None


class AgentFamilies:
    """Families with their keys, remembered."""

    __slots__ = ("_key", "_remembered")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._remembered: dict[str, AgentFamily] = {"": NO_FAMILY}

    def of(self, user_agent: str) -> AgentFamily:
        """The family of a User-Agent."""
        found = self._remembered.get(user_agent)
        if found is None:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered = {"": NO_FAMILY}
            text = family_of(user_agent)
            key = keyed_hash(self._key, "family", text.lower()) if text else 0
            found = self._remembered[user_agent] = AgentFamily(text, key, is_scanner(user_agent))
        return found

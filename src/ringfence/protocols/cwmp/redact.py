"""Messages without their secrets: the only form of them that a log, a transcript, a page or an export may hold.

Which parameters are secret comes from the flags of the data models, taken by their last name: a device that has a standard parameter at a
place of its own is covered too. Vendors mark nothing, so their names (X_...) are judged by what they are called. The one thing to know:
this errs towards hiding, and knows names, not values; a password that a device puts into its own free text is found by who knows it.
"""

import re
from functools import lru_cache
from typing import TypeVar

import msgspec

from ringfence.protocols.cwmp.messages import (
    AutonomousTransferComplete,
    Download,
    Fault,
    GetParameterValuesResponse,
    Inform,
    Message,
    ParameterFault,
    ParameterValue,
    SetParameterValues,
    Upload,
)
from ringfence.protocols.cwmp.secret_names import SECRET_PATHS

HIDDEN = "***"
"""What stands for a secret. An empty value stays empty: it is what devices give back for a secret, and tells nothing."""

_instances = re.compile(r"(?<=\.)(?:[0-9]+|\[[^\]]*\])(?=\.)")
_GENERIC = {"Value", "Key", "Name"}
"""Last names that say nothing alone; those are known by their whole path."""
_anyones = re.compile(r"(?i)pass(?:word|phrase|wd|code)|pwd|secret|private_?key|pre_?shared|wep_?key|pin_?phrase|(?:^|_)psk")
_vendors = re.compile(r"(?i:pass(?![a-z])|psk)|(?:Key|(?<![a-z])key)(?![a-z])|KEY|(?<![A-Z])PIN(?![A-Za-z])|Pin(?![a-z])|PUK")
_about = re.compile(r"(?:Required|Selectable|Enabled?|Supported|Types?|Sizes?|Protocols|Index|Modes?|NumberOfEntries|Ruler|Lock)$")
"""What tells something of a secret and is none: the audit of settings needs it."""
# RFC 3986 3.2.1: authority = [ userinfo "@" ] host; and what follows "?" may be a token.
_userinfo = re.compile(r"(?<=://)[^/?#@\s]*:[^/?#\s]*@")
_query = re.compile(r"\?[^#\s]*")

_M = TypeVar("_M", bound=Message)


class SecretNames:
    """Tells secret parameters by their names."""

    __slots__ = ("_last", "_paths", "holds")

    def __init__(self, paths: tuple[str, ...] = SECRET_PATHS) -> None:
        self._paths = frozenset(path.partition(".")[2] for path in paths)
        self._last = frozenset(path.rpartition(".")[2] for path in paths) - _GENERIC
        # The same few thousand names come from every device of a fleet.
        self.holds = lru_cache(maxsize=16_384)(self._holds)
        """`holds(name) -> bool`: whether the value of that parameter is a secret."""

    def _holds(self, name: str) -> bool:
        last = name.rpartition(".")[2]
        if last in self._last:
            return True
        if _about.search(last):
            return False
        if _anyones.search(last):
            return True
        if name.startswith("X_") or ".X_" in name:
            return _vendors.search(last) is not None
        path = _instances.sub("{i}", name)
        return last in _GENERIC and any(path.endswith(known) for known in self._paths)


def redacted(message: _M, secrets: SecretNames) -> _M:
    """The message as it may be kept and shown."""
    hidden: Message
    match message:
        case Inform() | GetParameterValuesResponse() | SetParameterValues():
            hidden = msgspec.structs.replace(message, parameters=tuple(_parameter(one, secrets) for one in message.parameters))
        case Download():
            hidden = msgspec.structs.replace(
                message,
                url=_without_token(message.url),
                password=HIDDEN if message.password else "",
                success_url=_without_token(message.success_url),
                failure_url=_without_token(message.failure_url),
            )
        case Upload():
            hidden = msgspec.structs.replace(message, url=_without_token(message.url), password=HIDDEN if message.password else "")
        case AutonomousTransferComplete():
            hidden = msgspec.structs.replace(
                message, announce_url=_without_token(message.announce_url), transfer_url=_without_token(message.transfer_url)
            )
        case Fault():
            hidden = _fault(message, secrets)
        case _:
            return message
    return hidden  # type: ignore[return-value] # replace() keeps the type


def without_userinfo(value: str) -> str:
    """A value that is a URL, without the password in it (RFC 3986 3.2.1); every other value as it is."""
    return _userinfo.sub(f"{HIDDEN}@", value) if "://" in value and "@" in value else value


def _parameter(parameter: ParameterValue, secrets: SecretNames) -> ParameterValue:
    if secrets.holds(parameter.name):
        return msgspec.structs.replace(parameter, value=HIDDEN if parameter.value else "")
    bare = without_userinfo(parameter.value)
    return parameter if bare == parameter.value else msgspec.structs.replace(parameter, value=bare)


def _fault(fault: Fault, secrets: SecretNames) -> Fault:
    """Devices quote the value they did not like: in the fault of its parameter, and in the text of the whole."""
    if not any(secrets.holds(one.name) for one in fault.parameter_faults):
        return fault
    parts = tuple(ParameterFault(one.name, one.code, HIDDEN) if secrets.holds(one.name) else one for one in fault.parameter_faults)
    return msgspec.structs.replace(fault, fault_string=HIDDEN, parameter_faults=parts)


def _without_token(url: str) -> str:
    return _query.sub(f"?{HIDDEN}", _userinfo.sub(f"{HIDDEN}@", url))

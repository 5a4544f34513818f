"""A device, its Inform as the front saw it, and what the room answered.

Names are those of TR-069. The one thing to know: `Standing` decides what may leave for a device. Only MANAGED gets secrets; STOCK is
updated and nothing else; REPLACEMENT_PENDING and REFUSED get nothing; UNBOUND gets settings that are no secrets.
"""

from dataclasses import dataclass, field
from enum import StrEnum, unique
from urllib.parse import quote

from ringfence.base.secret import Secret
from ringfence.fleet.lifecycle import Life
from ringfence.fleet.session import Work
from ringfence.protocols.cwmp.messages import DeviceId, Event, ParameterValue

__all__ = ["Admitted", "Credential", "InformSeen", "Lane", "Life", "LineSeen", "Link", "Proof", "SessionDone", "Standing", "names_of"]

BINDING_CHARS = 256
"""Of a line or customer name."""


@unique
class Lane(StrEnum):
    """The listener an Inform came through."""

    BOOTSTRAP = "bootstrap"
    MANAGED = "managed"


@unique
class Proof(StrEnum):
    """How the device proved who it is."""

    NONE = "none"
    BASIC = "basic"
    DIGEST = "digest"
    CERTIFICATE = "certificate"


@unique
class Standing(StrEnum):
    """What may leave for a device."""

    MANAGED = "managed"
    STOCK = "stock"
    REPLACEMENT_PENDING = "replacement_pending"
    UNBOUND = "unbound"
    REFUSED = "refused"


@unique
class Link(StrEnum):
    """How a device is connected, and so how it is reached and what it may download."""

    DIRECT = "direct"
    NAT = "nat"
    MOBILE = "mobile"
    CGNAT = "cgnat"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class InformSeen:
    """An Inform, with what the front knows of the connection. `proven_name`: user name or certificate name that was verified."""

    device: DeviceId
    peer_ip: str
    lane: Lane
    proof: Proof
    proven_name: str = ""
    events: tuple[Event, ...] = ()
    parameters: tuple[ParameterValue, ...] = ()
    retry_count: int = 0
    version: str = ""
    """Of CWMP: `1-0` to `1-4`."""
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The room's answer to an Inform. `work` None: nothing is wanted, finish at once. `device_id` 0: refused and not kept."""

    device_id: int
    standing: Standing
    reason: str
    line: str
    life: Life
    work: Work | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSeen:
    """The line that held an address when a device informed from it."""

    line: str
    customer: str = ""
    access_node: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What verifies a device's user name. `previous_ha1` is valid in the bootstrap lane only (after a factory reset)."""

    username: str
    device_id: int
    ha1: Secret
    previous_ha1: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDone:
    """A session in which more than an Inform happened. `transcript` is redacted by whoever made it."""

    device_id: int
    session_id: str
    work: Work | None
    at_ms: int
    command_keys: tuple[tuple[str, int, str], ...] = ()
    """TransferComplete and responses to orders: CommandKey, FaultCode (0: success), text."""
    started: tuple[str, ...] = ()
    """CommandKeys whose RPC the device accepted and will report on."""
    transcript: tuple[str, ...] = field(default=())


def names_of(device: DeviceId) -> tuple[str, str]:
    """The user names that are this device's own: OUI-serial and OUI-ProductClass-serial, percent-encoded (TR-069 3.4.4)."""
    oui, product, serial = (quote(part, safe="._~") for part in (device.oui, device.product_class, device.serial_number))
    return f"{oui}-{serial}", f"{oui}-{product}-{serial}"

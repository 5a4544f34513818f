"""A device, its Inform as the front saw it, and what the room answered.

Names are those of TR-069. The one thing to know: `Standing` decides what may leave for a device. Only MANAGED gets secrets; STOCK is
updated and nothing else; REPLACEMENT_PENDING and REFUSED get nothing; UNBOUND gets what its groups want, which is nobody's own.
"""

from dataclasses import dataclass, field
from enum import StrEnum, unique
from urllib.parse import quote

from ringfence.base.secret import Secret
from ringfence.fleet.lifecycle import Life
from ringfence.fleet.orders import Attempt, DownloadFirmware, Move, Order, Orders, OrderState, WantedOrder, WantedState
from ringfence.fleet.session import Work
from ringfence.protocols.cwmp.messages import DeviceId, Event, ParameterValue

__all__ = [
    "REALM",
    "Admitted",
    "Attempt",
    "Count",
    "Credential",
    "Device",
    "DevicesImported",
    "DownloadFirmware",
    "Entry",
    "Errand",
    "Filter",
    "Firmware",
    "InformSeen",
    "Lane",
    "Life",
    "LineSeen",
    "Link",
    "Order",
    "OrderState",
    "Orders",
    "Proof",
    "Reported",
    "SessionDone",
    "Sleeper",
    "Standing",
    "WantedOrder",
    "WantedState",
    "names_of",
]

REALM = "ringfence"
"""Of every credential's HA1 (RFC 7616 3.4.2): with another realm none of them fits."""
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
    """An Inform, with what the front knows of the connection.

    `proven_name`: user name or certificate name that was verified; `proven_device`: whose credential that was, 0 for nobody's.
    """

    device: DeviceId
    peer_ip: str
    lane: Lane
    proof: Proof
    proven_name: str = ""
    proven_device: int = 0
    events: tuple[Event, ...] = ()
    parameters: tuple[ParameterValue, ...] = ()
    retry_count: int = 0
    version: str = ""
    """Of CWMP: `1-0` to `1-4`."""
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a session has to do with orders."""

    methods: frozenset[str]
    """Those that may leave for this device as it stands."""
    waiting: bool
    """There may be orders that wait for it."""
    doubtful: bool
    """A process died between a transfer's commit and its answer: the device's own queue knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The room's answer to an Inform. `work` and `errand` None: nothing is wanted, finish at once. `device_id` 0: refused and not kept."""

    device_id: int
    standing: Standing
    reason: str
    line: str
    life: Life
    work: Work | None = None
    errand: Errand | None = None
    believed: bool = False
    """What it tells without a CommandKey is taken as its own."""


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
    moves: tuple[Move, ...] = ()
    """TransferComplete and answers to orders. One without a CommandKey is of the transfer that is open, if there is only one."""
    transcript: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a page of devices is about; an empty text matches everything. `serial`: how a serial number begins."""

    life: str = ""
    standing: str = ""
    oui: str = ""
    product_class: str = ""
    software_version: str = ""
    region: str = ""
    label: str = ""
    customer: str = ""
    line: str = ""
    serial: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device as lists show it. Times are 0 when there was none."""

    device_id: int
    oui: str
    product_class: str
    serial_number: str
    life: Life
    life_since_ms: int
    standing: Standing
    standing_reason: str
    line: str
    customer: str
    region: str
    labels: tuple[str, ...]
    link: Link
    data_model: str
    software_version: str
    hardware_version: str
    replaced_by: int
    last_inform_ms: int
    peer_ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A line of the fleet's summary."""

    oui: str
    product_class: str
    software_version: str
    life: str
    region: str
    devices: int
    counted_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A parameter as the device reported it. `in_inform`: later Informs said the same; its age is that of the last Inform."""

    name: str
    value: str
    writable: bool | None
    in_inform: bool
    reported_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of a device's history."""

    entry_id: int
    occurred_ms: int
    kind: str
    name: str
    old_value: str
    new_value: str
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """A file of the catalogue, by its hash."""

    sha256: str
    oui: str
    product_class: str
    version: str
    size_bytes: int
    file_name: str
    signature: str
    """`vendor_checked`, `vendor_unchecked` or `none`: what is known of the vendor's signature."""
    added_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleeper:
    """A device somebody wants awake, with what a connection request needs. Its URL is the device's own claim."""

    device_id: int
    tries: int
    link: Link
    line: str
    peer_ip: str
    request_url: str
    udp_address: str
    seen_udp: str = ""
    """Address and port that its signed STUN requests came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicesImported:
    """What an import of devices did."""

    rows: int
    added: int
    changed: int
    bad: tuple[tuple[int, str], ...]
    """Line and sentence of what was skipped, the first hundred."""


def names_of(device: DeviceId) -> tuple[str, str]:
    """The user names that are this device's own: OUI-serial and OUI-ProductClass-serial, percent-encoded (TR-069 3.4.4)."""
    oui, product, serial = (quote(part, safe="._~") for part in (device.oui, device.product_class, device.serial_number))
    return f"{oui}-{serial}", f"{oui}-{product}-{serial}"

"""Lists of the fleet and the firmware catalogue, as the API says them: what people work off."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from ringfence.apps.api.device_payloads import Word
from ringfence.apps.api.payloads import Heard, Said, at
from ringfence.fleet.lists.model import DriftEntry, Model, Pending, RefusedEntry, StockEntry, StoppedSetting, VersionCount
from ringfence.fleet.model import Count, Firmware
from ringfence.views.coverage import CoverageSeen, Uncovered

Numbers = Annotated[list[Annotated[int, Field(ge=1, le=2**63 - 1)]], Field(min_length=1, max_length=10_000)]
Label = Annotated[str, Field(min_length=1, max_length=32)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CountSaid(Said):
    """Devices of one model, version, life and region, as they were counted last."""

    oui: str
    product_class: str
    software_version: str
    life: str
    region: str
    devices: int
    counted_at: datetime | None

    @classmethod
    def of(cls, count: Count) -> "CountSaid":
        """From the summary."""
        facts = {name: getattr(count, name) for name in ("oui", "product_class", "software_version", "life", "region", "devices")}
        return cls(**facts, counted_at=at(count.counted_ms))


class GapSaid(Said):
    """How many customers with this model are not managed; `known`: a device of theirs is known that does not inform."""

    model: str
    customers: int
    known: int


class UncoveredSaid(Said):
    """A customer to work off. `model`: what their phone says of itself; `device_id` 0: no device of theirs is known."""

    customer: str
    account: str
    model: str
    registered_at: datetime | None
    device_id: int
    life: str

    @classmethod
    def of(cls, found: Uncovered) -> "UncoveredSaid":
        """From the view."""
        facts = {name: getattr(found, name) for name in ("customer", "account", "model", "device_id", "life")}
        return cls(**facts, registered_at=at(found.seen_ms))


class CoverageSaid(Said):
    """Who registers and who of them is managed, as counted at `counted_at`. `own`: they brought a box of their own."""

    counted_at: datetime | None
    customers: int
    managed: int
    own: int
    missing: int
    silent: int
    nameless: int
    by_model: list[GapSaid]
    uncovered: list[UncoveredSaid]
    next: str = ""

    @classmethod
    def of(cls, seen: CoverageSeen, page: list[Uncovered], following: str) -> "CoverageSaid":
        """From the view, with a page of customers."""
        facts = {name: getattr(seen, name) for name in ("customers", "managed", "own", "missing", "silent", "nameless")}
        gaps = [GapSaid(model=gap.model, customers=gap.customers, known=gap.known) for gap in seen.by_model]
        uncovered = [UncoveredSaid.of(one) for one in page]
        return cls(**facts, counted_at=at(seen.counted_ms), by_model=gaps, uncovered=uncovered, next=following)


class ModelSaid(Said):
    """A model. `twin_id`: the model that it is inside; `stock_version`: what devices in stock are brought to."""

    model_id: int
    oui: str
    product_class: str
    manufacturer: str
    name: str
    hardware_version: str
    chipset: str
    twin_id: int
    twin_oui: str
    twin_product_class: str
    stock_version: str
    stock_sha256: str
    devices: int

    @classmethod
    def of(cls, model: Model) -> "ModelSaid":
        """From the list."""
        return cls(**{name: getattr(model, name) for name in cls.model_fields})


class StopSaid(Said):
    """A setting that a model refused in one version, and the device that refused it first."""

    oui: str
    product_class: str
    software_version: str
    name: str
    fault_code: int
    device_id: int
    stopped_at: datetime | None

    @classmethod
    def of(cls, stop: StoppedSetting) -> "StopSaid":
        """From the list."""
        facts = {name: getattr(stop, name) for name in ("oui", "product_class", "software_version", "name", "fault_code", "device_id")}
        return cls(**facts, stopped_at=at(stop.stopped_ms))


class StopList(Said):
    """A page of stops; `next` goes into `after`, empty: that was all."""

    stops: list[StopSaid]
    next: str = ""


class DriftSaid(Said):
    """A parameter that is not as it is wanted. `group` empty: wanted of this device alone; `stopped`: the FaultCode, else 0."""

    device_id: int
    oui: str
    product_class: str
    serial_number: str
    software_version: str
    name: str
    group: str
    wanted: str
    reported: str | None
    stopped: int
    found_at: datetime | None

    @classmethod
    def of(cls, entry: DriftEntry) -> "DriftSaid":
        """From the list."""
        facts = {name: getattr(entry, name) for name in cls.model_fields.keys() - {"found_at"}}
        return cls(**facts, found_at=at(entry.found_ms))


class DriftList(Said):
    """A page of what differs, by device and name; `next` goes into `after`, empty: that was all."""

    differences: list[DriftSaid]
    next: str = ""


class RefusalSaid(Said):
    """Who claimed to be a device that they are not, or used a closed identity."""

    proven_name: str
    oui: str
    product_class: str
    serial_number: str
    reason: str
    peer_ip: str
    first_at: datetime | None
    last_at: datetime | None
    times: int

    @classmethod
    def of(cls, entry: RefusedEntry) -> "RefusalSaid":
        """From the list."""
        names = ("proven_name", "oui", "product_class", "serial_number", "reason", "peer_ip", "times")
        return cls(**{name: getattr(entry, name) for name in names}, first_at=at(entry.first_ms), last_at=at(entry.last_ms))


class RefusalList(Said):
    """A page of refusals, the last one first; `next` goes into `before`, empty: that was all."""

    refusals: list[RefusalSaid]
    next: str = ""


class PendingSaid(Said):
    """A device that waits for a person to say that it replaces another; `holder_*`: whom its line belongs to now."""

    device_id: int
    oui: str
    product_class: str
    serial_number: str
    software_version: str
    reason: str
    line: str
    holder_id: int
    holder_serial: str
    holder_life: str
    first_seen_at: datetime | None
    last_inform_at: datetime | None
    peer_ip: str

    @classmethod
    def of(cls, entry: Pending) -> "PendingSaid":
        """From the list."""
        names = cls.model_fields.keys() - {"first_seen_at", "last_inform_at"}
        facts = {name: getattr(entry, name) for name in names}
        return cls(**facts, first_seen_at=at(entry.first_seen_ms), last_inform_at=at(entry.last_inform_ms))


class PendingList(Said):
    """A page of replacements that wait, the newest first; `next` goes into `before`, 0: that was all."""

    replacements: list[PendingSaid]
    next: int = 0


class StockSaid(Said):
    """A device in stock. `ready`: it can be shipped as it is."""

    device_id: int
    oui: str
    product_class: str
    serial_number: str
    region: str
    software_version: str
    wanted_version: str
    ready: bool
    last_inform_at: datetime | None

    @classmethod
    def of(cls, entry: StockEntry) -> "StockSaid":
        """From the list."""
        facts = {name: getattr(entry, name) for name in cls.model_fields.keys() - {"last_inform_at"}}
        return cls(**facts, last_inform_at=at(entry.last_inform_ms))


class StockList(Said):
    """A page of stock by id; `next` goes into `after`, 0: that was all."""

    devices: list[StockSaid]
    next: int = 0


class VersionCountSaid(Said):
    """Devices in the field of a model and version at the end of a day (UTC)."""

    day: str
    oui: str
    product_class: str
    software_version: str
    devices: int

    @classmethod
    def of(cls, count: VersionCount) -> "VersionCountSaid":
        """From the list."""
        return cls(**{name: getattr(count, name) for name in cls.model_fields})


class StopHeard(Heard):
    """Which setting a model shall be asked for again."""

    oui: Word
    product_class: Word
    software_version: Word
    name: Annotated[str, Field(min_length=1, max_length=256)]


class RegionHeard(Heard):
    """Devices and the region that they are in; empty: none."""

    devices: Numbers
    region: Annotated[str, Field(max_length=64)]


class LinkHeard(Heard):
    """Devices and the link that somebody knows them to have; `direct`: what their next Inform shows."""

    devices: Numbers
    link: Literal["mobile", "unreachable", "direct"]


class LabelsHeard(Heard):
    """Devices and the labels that they get and lose."""

    devices: Numbers
    add: Annotated[tuple[Label, ...], Field(max_length=32)] = ()
    remove: Annotated[tuple[Label, ...], Field(max_length=32)] = ()


class ChangedSaid(Said):
    """How many devices are others now."""

    changed: int


class ModelHeard(Heard):
    """What a model is called and made of."""

    name: Annotated[str, Field(max_length=64)] = ""
    hardware_version: Annotated[str, Field(max_length=64)] = ""
    chipset: Annotated[str, Field(max_length=64)] = ""


class TwinHeard(Heard):
    """The model that this one is inside, 0: none."""

    twin_id: Annotated[int, Field(ge=0, le=2**31 - 1)]


class StockFirmwareHeard(Heard):
    """The file that this model's stock is brought to."""

    sha256: Sha256


class FirmwareSaid(Said):
    """A file of the catalogue. `signature`: what is known of the vendor's."""

    sha256: str
    oui: str
    product_class: str
    version: str
    size_bytes: int
    file_name: str
    signature: str
    added_at: datetime | None

    @classmethod
    def of(cls, firmware: Firmware) -> "FirmwareSaid":
        """From the catalogue."""
        facts = {name: getattr(firmware, name) for name in cls.model_fields.keys() - {"added_at"}}
        return cls(**facts, added_at=at(firmware.added_ms))

"""What the routes of devices take and give, as pydantic models. Names are those of TR-069 and of `fleet`."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from ringfence.apps.api.payloads import Heard, Said, at
from ringfence.fleet.behind import Behind, BehindKind
from ringfence.fleet.model import Device, DevicesImported, Entry, Reported

PLAIN = r"^[^\x00-\x1f\x7f]*$"
"""Text of one line."""
Word = Annotated[str, Field(max_length=128, pattern=PLAIN)]


class DeviceSaid(Said):
    """A device. `standing` says what may leave for it; times are null when there was none."""

    device_id: int
    oui: str
    product_class: str
    serial_number: str
    life: str
    life_since_at: datetime | None
    standing: str
    standing_reason: str
    line: str
    customer: str
    region: str
    labels: list[str]
    link: str
    data_model: str
    software_version: str
    hardware_version: str
    replaced_by: int
    last_inform_at: datetime | None
    peer_ip: str

    @classmethod
    def of(cls, device: Device) -> "DeviceSaid":
        """From the inventory."""
        return cls(
            device_id=device.device_id,
            oui=device.oui,
            product_class=device.product_class,
            serial_number=device.serial_number,
            life=device.life,
            life_since_at=at(device.life_since_ms),
            standing=device.standing,
            standing_reason=device.standing_reason,
            line=device.line,
            customer=device.customer,
            region=device.region,
            labels=list(device.labels),
            link=device.link,
            data_model=device.data_model,
            software_version=device.software_version,
            hardware_version=device.hardware_version,
            replaced_by=device.replaced_by,
            last_inform_at=at(device.last_inform_ms),
            peer_ip=device.peer_ip,
        )


class DeviceList(Said):
    """A page of devices in the order of their ids; `next` goes into `after` for the following page, 0: that was all."""

    devices: list[DeviceSaid]
    next: int = 0


class ParameterSaid(Said):
    """A parameter as the device reported it; those whose values are secrets were never stored."""

    name: str
    value: str
    writable: bool | None
    reported_at: datetime | None

    @classmethod
    def of(cls, found: Reported) -> "ParameterSaid":
        """From the inventory."""
        return cls(name=found.name, value=found.value, writable=found.writable, reported_at=at(found.reported_ms))


class ParameterList(Said):
    """A page of parameters by name; `next` goes into `after`, empty: that was all."""

    parameters: list[ParameterSaid]
    next: str = ""


class EntrySaid(Said):
    """What happened to a device."""

    entry_id: int
    at: datetime | None
    kind: str
    name: str
    old_value: str
    new_value: str
    person: str

    @classmethod
    def of(cls, entry: Entry) -> "EntrySaid":
        """From its history."""
        return cls(
            entry_id=entry.entry_id,
            at=at(entry.occurred_ms),
            kind=entry.kind,
            name=entry.name,
            old_value=entry.old_value,
            new_value=entry.new_value,
            person=entry.person,
        )


class EntryList(Said):
    """A page of a history, newest first; `next` goes into `before`, 0: that was all."""

    entries: list[EntrySaid]
    next: int = 0


class TranscriptSaid(Said):
    """A session as it was spoken, a message a line, secrets hidden when it was written."""

    session_id: str
    ended_at: datetime | None
    lines: list[str]


class BehindSaid(Said):
    """A device behind the device."""

    mac: str
    name: str
    kind: str
    origin: str

    @classmethod
    def of(cls, found: Behind) -> "BehindSaid":
        """From the inventory."""
        return cls(mac=found.mac, name=found.name, kind=found.kind, origin=found.origin)


class BehindHeard(Heard):
    """What a person saw behind a device."""

    name: Word = ""
    kind: BehindKind = BehindKind.UNKNOWN


class SkippedSaid(Said):
    """A row that was not imported."""

    line: int
    message: str


class DevicesImportedSaid(Said):
    """What an import did; the first hundred rows that were skipped."""

    rows: int
    added: int
    changed: int
    skipped: list[SkippedSaid]

    @classmethod
    def of(cls, report: DevicesImported) -> "DevicesImportedSaid":
        """From the import."""
        skipped = [SkippedSaid(line=line, message=message) for line, message in report.bad]
        return cls(rows=report.rows, added=report.added, changed=report.changed, skipped=skipped)


class VerifyHeard(Heard):
    """The line that a person has made sure of."""

    line: Annotated[str, Field(min_length=1, max_length=128, pattern=PLAIN)]


class VerifiedSaid(Said):
    """The device on its line, and those that were closed for it."""

    device: DeviceSaid
    replaced: list[int]

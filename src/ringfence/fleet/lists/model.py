"""What the lists of the fleet are made of: models, refusals, replacements that wait, stock, stops, drift, versions of a day.

Values only. Times are milliseconds, 0 when there was none; each list goes on after the key that its last entry names.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model of device. `twin_*`: the model of another vendor that is the same device inside; empty for none."""

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
    """What devices in stock are brought to; empty: nothing."""
    stock_sha256: str
    devices: int
    """As the worker counted last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedSetting:
    """A parameter that a model refused in one version: it is set on none of them until a person lifts the stop."""

    oui: str
    product_class: str
    software_version: str
    name: str
    fault_code: int
    device_id: int
    """The device that refused it first."""
    stopped_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftEntry:
    """A parameter that is not as it is wanted. `group` empty: wanted of this device alone; `reported` None: the device never said."""

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
    """The FaultCode with which its model refuses it, 0 for none: 0 is set at the next Inform."""
    found_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedEntry:
    """Who claimed to be a device that they are not, or used a closed identity."""

    refusal_id: int
    proven_name: str
    oui: str
    product_class: str
    serial_number: str
    reason: str
    peer_ip: str
    first_ms: int
    last_ms: int
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A device that waits for a person to say that it replaces another. `holder_*`: the device that the line belongs to, 0 for none."""

    device_id: int
    oui: str
    product_class: str
    serial_number: str
    software_version: str
    reason: str
    line: str
    """Where it was seen last; empty when it was not seen there since lines are kept."""
    holder_id: int
    holder_serial: str
    holder_life: str
    first_seen_ms: int
    last_inform_ms: int
    peer_ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StockEntry:
    """A device in stock. `wanted_version` empty: nothing is wanted of its model's stock."""

    device_id: int
    oui: str
    product_class: str
    serial_number: str
    region: str
    software_version: str
    wanted_version: str
    last_inform_ms: int

    @property
    def ready(self) -> bool:
        """Whether it can be shipped as it is."""
        return not self.wanted_version or self.software_version == self.wanted_version


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCount:
    """Devices in the field of a model and version at the end of a day (UTC, `2026-07-30`)."""

    day: str
    oui: str
    product_class: str
    software_version: str
    devices: int

"""Devices behind the device: repeaters and powerline adapters, read off its Hosts and MultiAP tables.

They speak no TR-069 themselves, but they have firmware and radio keys of their own. The one thing to know: a device whose kind nobody can
tell is kept as a host, and what a person entered by hand is not overwritten by a table.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique

MAX_BEHIND = 256
MAX_NAME_CHARS = 128

# Hosts.Host.{i}.PhysAddress (TR-098: LANDevice.{i}.Hosts.Host.{i}.MACAddress); WiFi.MultiAP.APDevice.{i}.MACAddress (TR-181 2.13).
_HOST = re.compile(r"^(?:InternetGatewayDevice\.LANDevice\.\d+\.|Device\.)(Hosts\.Host|WiFi\.MultiAP\.APDevice)\.(\d+)\.(\w+)$")
_MAC = re.compile(r"^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$")
_REPEATER = re.compile(r"repeat|extender|mesh|wlan-?bridge", re.IGNORECASE)
_POWERLINE = re.compile(r"powerline|dlan|homeplug", re.IGNORECASE)


@unique
class BehindKind(StrEnum):
    """What stands behind a device."""

    REPEATER = "repeater"
    POWERLINE = "powerline"
    HOST = "host"
    UNKNOWN = "unknown"


@unique
class Origin(StrEnum):
    """Who said so."""

    HOSTS = "hosts"
    MULTIAP = "multiap"
    HAND = "hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """One device behind a device."""

    mac: str
    """Lower case, with colons."""
    name: str
    kind: BehindKind
    origin: Origin


def behind_of(reported: Mapping[str, str]) -> tuple[Behind, ...]:
    """What the tables of a device list; an entry of MultiAP beats one of Hosts for the same address."""
    entries: dict[tuple[str, str], dict[str, str]] = {}
    for name, value in reported.items():
        if (match := _HOST.match(name)) is not None:
            entries.setdefault((match[1], match[2]), {})[match[3]] = value
    found: dict[str, Behind] = {}
    for (table, _), fields in sorted(entries.items()):  # `Hosts` before `WiFi`.
        mac = (fields.get("PhysAddress") or fields.get("MACAddress") or "").strip().lower().replace("-", ":")
        if _MAC.match(mac) is None:
            continue
        name = (fields.get("HostName") or fields.get("ProductClass") or fields.get("Manufacturer") or "")[:MAX_NAME_CHARS]
        origin = Origin.MULTIAP if table.startswith("WiFi") else Origin.HOSTS
        found[mac] = Behind(mac=mac, name=name, kind=_kind(name, origin), origin=origin)
    return tuple(found[mac] for mac in sorted(found))[:MAX_BEHIND]


def is_of_table(name: str) -> bool:
    """Whether a parameter says something of what stands behind."""
    return _HOST.match(name) is not None


def _kind(name: str, origin: Origin) -> BehindKind:
    if _POWERLINE.search(name):
        return BehindKind.POWERLINE
    return BehindKind.REPEATER if origin is Origin.MULTIAP or _REPEATER.search(name) else BehindKind.HOST

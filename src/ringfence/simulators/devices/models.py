"""Models of devices: two small made-up ones, one of each data model, and trees read from CSV files.

A file has the columns `parameter,object,writable,type,value`; rows `DeviceID.*` say what kind of device it was. It is the operator's
own file: a mistake is refused with its line.
"""

import csv
from pathlib import Path

from ringfence.base.errors import OperatorError
from ringfence.simulators.devices.tree import Leaf, Model

MAX_ROWS = 200_000
_COLUMNS = {"parameter", "object", "writable", "type", "value"}
_INT, _FLAG, _TEXT = "xsd:unsignedInt", "xsd:boolean", "xsd:string"

_COMMON = (
    ("DeviceInfo.Manufacturer", _TEXT, "Example Home", False),
    ("DeviceInfo.ManufacturerOUI", _TEXT, "00D09E", False),
    ("DeviceInfo.SerialNumber", _TEXT, "", False),
    ("DeviceInfo.HardwareVersion", _TEXT, "1", False),
    ("DeviceInfo.SoftwareVersion", _TEXT, "1.0.0", False),
    ("DeviceInfo.ProvisioningCode", _TEXT, "", True),
    ("DeviceInfo.UpTime", _INT, "0", False),
    ("ManagementServer.URL", _TEXT, "", True),
    ("ManagementServer.Username", _TEXT, "", True),
    ("ManagementServer.Password", _TEXT, "", True),
    ("ManagementServer.PeriodicInformEnable", _FLAG, "1", True),
    ("ManagementServer.PeriodicInformInterval", _INT, "86400", True),
    ("ManagementServer.PeriodicInformTime", "xsd:dateTime", "0001-01-01T00:00:00Z", True),
    ("ManagementServer.ParameterKey", _TEXT, "", False),
    ("ManagementServer.ConnectionRequestURL", _TEXT, "", False),
    ("ManagementServer.ConnectionRequestUsername", _TEXT, "", True),
    ("ManagementServer.ConnectionRequestPassword", _TEXT, "", True),
    ("ManagementServer.UDPConnectionRequestAddress", _TEXT, "", False),
    ("ManagementServer.STUNUsername", _TEXT, "", True),
    ("ManagementServer.STUNPassword", _TEXT, "", True),
)
_OLD = (
    ("DeviceSummary", _TEXT, "InternetGatewayDevice:1.4[](Baseline:1), VoiceService:1.0[1](SIPEndpoint:1)", False),
    ("DeviceInfo.SpecVersion", _TEXT, "1.0", False),
    ("DeviceInfo.ProductClass", _TEXT, "HomeBox-98", False),
    ("WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.ExternalIPAddress", _TEXT, "192.0.2.10", False),
    ("Layer3Forwarding.ForwardNumberOfEntries", _INT, "1", False),
    ("Layer3Forwarding.Forwarding.1.Enable", _FLAG, "1", True),
    ("Layer3Forwarding.Forwarding.1.DestIPAddress", _TEXT, "0.0.0.0", True),  # noqa: S104 - a default route, nothing is bound
    ("Services.VoiceService.1.VoiceProfile.1.SIP.RegistrarServer", _TEXT, "sip.example.net", True),
    ("Services.VoiceService.1.VoiceProfile.1.Line.1.Enable", _TEXT, "Enabled", True),
    ("Services.VoiceService.1.VoiceProfile.1.Line.1.Status", _TEXT, "Up", False),
    ("Services.VoiceService.1.VoiceProfile.1.Line.1.SIP.AuthUserName", _TEXT, "", True),
    ("Services.VoiceService.1.VoiceProfile.1.Line.1.SIP.AuthPassword", _TEXT, "", True),
)
_NEW = (
    ("DeviceInfo.ProductClass", _TEXT, "HomeBox-181", False),
    ("DeviceInfo.ModelName", _TEXT, "HomeBox 181", False),
    ("IP.Interface.1.IPv4Address.1.IPAddress", _TEXT, "192.0.2.10", False),
    ("NAT.PortMappingNumberOfEntries", _INT, "1", False),
    ("NAT.PortMapping.1.Enable", _FLAG, "0", True),
    ("NAT.PortMapping.1.ExternalPort", _INT, "8080", True),
    ("Services.VoiceService.1.SIP.Client.1.Enable", _FLAG, "1", True),
    ("Services.VoiceService.1.SIP.Client.1.Status", _TEXT, "Up", False),
    ("Services.VoiceService.1.SIP.Client.1.AuthUserName", _TEXT, "", True),
    ("Services.VoiceService.1.SIP.Client.1.AuthPassword", _TEXT, "", True),
)
_TABLES = frozenset({"Layer3Forwarding.Forwarding.", "NAT.PortMapping."})


def built_in() -> tuple[Model, Model]:
    """HomeBox-98 speaks TR-098, HomeBox-181 TR-181."""
    return _built("InternetGatewayDevice.", "HomeBox-98", _OLD), _built("Device.", "HomeBox-181", _NEW)


def _built(root: str, product_class: str, rows: tuple[tuple[str, str, str, bool], ...]) -> Model:
    leaves = {root + name: Leaf(kind, value, writable) for name, kind, value, writable in (*_COMMON, *rows)}
    objects: dict[str, bool] = {}
    for name in leaves:
        parts = name.split(".")
        for length in range(1, len(parts)):
            path = ".".join(parts[:length]) + "."
            objects[path] = any(path.removeprefix(root).startswith(table) for table in _TABLES)
    return Model(manufacturer="Example Home", oui="00D09E", product_class=product_class, leaves=leaves, objects=objects)


def read_model(path: Path) -> Model:
    """A tree from a CSV file. OperatorError with the line of a mistake."""
    leaves: dict[str, Leaf] = {}
    objects: dict[str, bool] = {}
    about: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if not set(reader.fieldnames or ()) >= _COLUMNS:
                raise OperatorError(f"{path} needs the columns {', '.join(sorted(_COLUMNS))}.", reason="bad_tree")
            for row in reader:
                name = row["parameter"]
                if not name or None in row.values() or reader.line_num > MAX_ROWS:
                    raise OperatorError(f"{path}, line {reader.line_num}: no parameter of a device.", reason="bad_tree")
                if name.startswith("DeviceID."):
                    about[name.removeprefix("DeviceID.")] = row["value"]
                elif row["object"] == "true":
                    objects[name + "."] = row["writable"] == "true"
                else:
                    leaves[name] = Leaf(row["type"] or _TEXT, row["value"], row["writable"] == "true")
    except (OSError, UnicodeDecodeError, csv.Error) as refused:
        raise OperatorError(f"{path} cannot be read as a device's tree: {refused}.", reason="bad_tree") from None
    root = "Device." if "Device." in objects else "InternetGatewayDevice."
    # An ACS keeps columns of its own beside the tree (Events, Tags, ...).
    leaves = {name: leaf for name, leaf in leaves.items() if name.startswith(root)}
    objects = {name: writable for name, writable in objects.items() if name.startswith(root)}
    info = {
        key: leaf.value for key in ("Manufacturer", "ManufacturerOUI", "ProductClass") if (leaf := leaves.get(f"{root}DeviceInfo.{key}"))
    }
    return Model(
        manufacturer=about.get("Manufacturer") or info.get("Manufacturer", ""),
        oui=about.get("OUI") or info.get("ManufacturerOUI") or "00D09E",
        product_class=about.get("ProductClass") or info.get("ProductClass") or path.stem,
        leaves=leaves,
        objects=objects,
    )


def read_models(folder: Path) -> tuple[Model, ...]:
    """All trees of a folder, by file name. OperatorError when it holds none."""
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise OperatorError(f"{folder} holds no CSV file with a device's tree.", reason="no_trees")
    return tuple(read_model(file) for file in files)

"""One meaning, its parameter in each data model: what an operator wants is said once and compiled for TR-098 and TR-181 (with TR-104).

Names stand without their root object. The one thing to know: a meaning without a name in a data model cannot be wanted there, and that is
said in the drift report instead of guessed; vendors' own trees (`X_*`) are no meanings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique

from ringfence.protocols.cwmp.redact import SecretNames


@unique
class DataModel(StrEnum):
    """The tree a device has; UNKNOWN until its first Inform with a parameter."""

    UNKNOWN = ""
    TR098 = "tr098"
    TR181 = "tr181"


ROOTS: dict[DataModel, str] = {DataModel.TR098: "InternetGatewayDevice.", DataModel.TR181: "Device."}

STRING, BOOLEAN, UNSIGNED = "xsd:string", "xsd:boolean", "xsd:unsignedInt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """A wanted thing. `{i}` in a name is filled from the instance, a number each; `values` translates where spellings differ."""

    tr098: str = ""
    tr181: str = ""
    type: str = STRING
    secret: bool = False
    bootstrap: bool = False
    """May be handed out in the bootstrap lane."""
    settable: bool = True
    values: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def name(self, model: DataModel) -> str:
        """The name below the root, empty when this data model has none."""
        return {DataModel.TR098: self.tr098, DataModel.TR181: self.tr181}.get(model, "")


def _same(name: str, kind: str = STRING, *, secret: bool = False, bootstrap: bool = False, settable: bool = True) -> Meaning:
    return Meaning(tr098=name, tr181=name, type=kind, secret=secret, bootstrap=bootstrap, settable=settable)


_WLAN = "LANDevice.{i}.WLANConfiguration.{i}."
_SECURITY = "WiFi.AccessPoint.{i}.Security."
_LINE1 = "Services.VoiceService.{i}.VoiceProfile.{i}.Line.{i}.SIP."
_PROFILE1 = "Services.VoiceService.{i}.VoiceProfile.{i}.SIP."
_CLIENT = "Services.VoiceService.{i}.SIP.Client.{i}."
_NETWORK = "Services.VoiceService.{i}.SIP.Network.{i}."

MEANINGS: dict[str, Meaning] = {
    "version.software": _same("DeviceInfo.SoftwareVersion", settable=False),
    "version.hardware": _same("DeviceInfo.HardwareVersion", settable=False),
    "acs.url": _same("ManagementServer.URL", bootstrap=True),
    "acs.username": _same("ManagementServer.Username", bootstrap=True),
    "acs.password": _same("ManagementServer.Password", secret=True, bootstrap=True),
    "acs.inform_enable": _same("ManagementServer.PeriodicInformEnable", BOOLEAN),
    "acs.inform_interval": _same("ManagementServer.PeriodicInformInterval", UNSIGNED),
    "acs.inform_time": _same("ManagementServer.PeriodicInformTime", "xsd:dateTime"),
    "acs.request_username": _same("ManagementServer.ConnectionRequestUsername"),
    "acs.request_password": _same("ManagementServer.ConnectionRequestPassword", secret=True),
    "acs.upgrades_managed": _same("ManagementServer.UpgradesManaged", BOOLEAN),
    "acs.enable_cwmp": _same("ManagementServer.EnableCWMP", BOOLEAN),
    "acs.stun_enable": _same("ManagementServer.STUNEnable", BOOLEAN),
    "acs.stun_server": _same("ManagementServer.STUNServerAddress"),
    "acs.stun_username": _same("ManagementServer.STUNUsername"),
    "acs.stun_password": _same("ManagementServer.STUNPassword", secret=True),
    "acs.retry_wait": _same("ManagementServer.CWMPRetryMinimumWaitInterval", UNSIGNED),
    "acs.retry_multiplier": _same("ManagementServer.CWMPRetryIntervalMultiplier", UNSIGNED),
    "admin.remote_access": _same("UserInterface.RemoteAccess.Enable", BOOLEAN),
    "admin.user_remote": Meaning(tr098="User.{i}.RemoteAccessCapable", tr181="Users.User.{i}.RemoteAccessCapable", type=BOOLEAN),
    "admin.http_access": Meaning(tr181="UserInterface.HTTPAccess.{i}.Enable", type=BOOLEAN),
    "admin.ssh": Meaning(tr181="SSH.Server.{i}.Enable", type=BOOLEAN),
    "admin.password": _same("LANConfigSecurity.ConfigPassword", secret=True),
    "admin.user_password": Meaning(tr098="User.{i}.Password", tr181="Users.User.{i}.Password", secret=True),
    "admin.password_required": Meaning(tr098="UserInterface.PasswordRequired", type=BOOLEAN),
    "upnp.enable": _same("UPnP.Device.Enable", BOOLEAN),
    "upnp.igd": _same("UPnP.Device.UPnPIGD", BOOLEAN),
    "wlan.security": Meaning(
        tr098=_WLAN + "BeaconType",
        tr181=_SECURITY + "ModeEnabled",
        values={
            "none": ("None", "None"),
            "wep": ("Basic", "WEP-128"),
            "wpa2": ("11i", "WPA2-Personal"),
            "wpa_wpa2": ("WPAand11i", "WPA-WPA2-Personal"),
        },
    ),
    "wlan.passphrase": Meaning(tr098=_WLAN + "PreSharedKey.1.KeyPassphrase", tr181=_SECURITY + "KeyPassphrase", secret=True),
    "wlan.ssid": Meaning(tr098=_WLAN + "SSID", tr181="WiFi.SSID.{i}.SSID"),
    "wlan.wps": Meaning(tr098=_WLAN + "WPS.Enable", tr181="WiFi.AccessPoint.{i}.WPS.Enable", type=BOOLEAN),
    "sip.username": Meaning(tr098=_LINE1 + "AuthUserName", tr181=_CLIENT + "AuthUserName"),
    "sip.password": Meaning(tr098=_LINE1 + "AuthPassword", tr181=_CLIENT + "AuthPassword", secret=True),
    "sip.uri": Meaning(tr098=_LINE1 + "URI", tr181=_CLIENT + "RegisterURI"),
    "sip.proxy": Meaning(tr098=_PROFILE1 + "ProxyServer", tr181=_NETWORK + "ProxyServer"),
    "sip.registrar": Meaning(tr098=_PROFILE1 + "RegistrarServer", tr181=_NETWORK + "RegistrarServer"),
    "sip.outbound_proxy": Meaning(tr098=_PROFILE1 + "OutboundProxy", tr181=_NETWORK + "OutboundProxy"),
}

_secrets = SecretNames()


def is_secret(name: str) -> bool:
    """Whether a parameter's value must not be kept: by the flags of the data models, and by the words of vendors' names."""
    return _secrets.holds(name)


def data_model_of(names: tuple[str, ...]) -> DataModel:
    """The tree of a device by the roots of what it reports."""
    for model, root in ROOTS.items():
        if any(name.startswith(root) for name in names):
            return model
    return DataModel.UNKNOWN


def fill(name: str, instance: str) -> str | None:
    """A name with its instance numbers (`1`, `1.5`); numbers missing in front are 1. None when they do not fit."""
    wanted = name.count("{i}")
    numbers = [part for part in instance.split(".") if part] or ["1"]
    if len(numbers) > max(wanted, 1) or not all(part.isascii() and part.isdigit() and len(part) <= 6 for part in numbers):
        return None
    for number in ["1"] * (wanted - len(numbers)) + numbers if wanted else []:
        name = name.replace("{i}", number, 1)
    return name

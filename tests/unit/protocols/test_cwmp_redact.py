"""What may be kept of a message: names that are secret, names that only sound so, and the generated list."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from ringfence.protocols.cwmp import HIDDEN, SecretNames, redacted
from ringfence.protocols.cwmp import messages as m
from ringfence.protocols.cwmp.secret_names import SECRET_PATHS
from tests.unit.protocols.cwmp_strategies import any_message
from tools.build_secret_names import module, secret_paths

ROOT = Path(__file__).parents[3]
MODELS = ROOT.parent / "shared" / "data" / "bbf"
SECRETS = SecretNames()


@pytest.mark.skipif(not MODELS.is_dir(), reason="no ../shared/data/bbf: the data models are absent")
def test_the_list_is_the_one_of_the_data_models() -> None:
    written = (ROOT / "src" / "ringfence" / "protocols" / "cwmp" / "secret_names.py").read_text("utf-8")
    assert module(secret_paths(MODELS)) == written


@pytest.mark.parametrize("path", SECRET_PATHS)
def test_every_marked_parameter_is_hidden(path: str) -> None:
    assert SECRETS.holds(path.replace("{i}", "1"))
    assert SECRETS.holds("Device.Services." + path.replace("{i}", "12"))


@pytest.mark.parametrize(
    "name",
    [
        "InternetGatewayDevice.X_HW_WebUserInfo.2.Password",
        "InternetGatewayDevice.X_AVM-DE_Users.1.X_AVM_PIN",
        "Device.X_TP_WEPKey1",
        "Device.X_VENDOR.AdminPwd",
        "Device.WiFi.X_VENDOR_Passphrase",
        "Device.X_ACME_Cloud.ApiKey",
        "X_ACME.Secret",
        "InternetGatewayDevice.LANDevice.1.WLANConfiguration.3.KeyPassphrase",
        "Device.GponPwd",
        "Device.Users.User.[admin].Password",
    ],
)
def test_vendors_names_are_hidden_by_what_they_are_called(name: str) -> None:
    assert SECRETS.holds(name)


@pytest.mark.parametrize(
    "name",
    [
        "InternetGatewayDevice.ManagementServer.ParameterKey",
        "InternetGatewayDevice.UserInterface.PasswordRequired",
        "InternetGatewayDevice.UserInterface.PasswordUserSelectable",
        "Device.DeviceInfo.SoftwareVersion",
        "Device.X_TP_RE_MAPPING",
        "Device.X_HW_DHCP_PING_EMULATOR",
        "Device.X_ACME.Monkey",
        "Device.USPAgent.Other.1.Value",
        "Device.X_ACME.KeyRotationEnable",
        "",
    ],
)
def test_names_that_only_sound_secret_stay(name: str) -> None:
    assert not SECRETS.holds(name)


def values(*pairs: tuple[str, str]) -> tuple[m.ParameterValue, ...]:
    return tuple(m.ParameterValue(name, value) for name, value in pairs)


@pytest.mark.parametrize("kind", [m.Inform, m.GetParameterValuesResponse, m.SetParameterValues])
def test_quirk_passwords_of_the_device_in_its_inform(kind: Any) -> None:
    given_values = values(
        ("Device.ManagementServer.Password", "hunter2"),
        ("Device.ManagementServer.ConnectionRequestPassword", ""),
        ("Device.ManagementServer.URL", "https://user:hunter2@acs.example/"),
        ("Device.DeviceInfo.SoftwareVersion", "1.0"),
    )
    kept = redacted(kind(parameters=given_values), SECRETS)
    assert "hunter2" not in repr(kept)
    assert [one.value for one in kept.parameters] == [HIDDEN, "", f"https://{HIDDEN}@acs.example/", "1.0"]


def test_transfers_lose_their_passwords_and_tokens() -> None:
    url = "https://u:hunter2@files.example/a.bin?token=hunter2"
    for message in (
        m.Download(url=url, password="hunter2", success_url=url, failure_url=url),
        m.Upload(url=url, password="hunter2"),
        m.AutonomousTransferComplete(announce_url=url, transfer_url=url),
    ):
        kept = redacted(message, SECRETS)
        assert "hunter2" not in repr(kept)
        assert f"https://{HIDDEN}@files.example/a.bin?{HIDDEN}" in repr(kept)


def test_a_fault_that_quotes_the_secret_loses_its_words() -> None:
    fault = m.Fault(
        9003,
        "cannot use hunter2",
        (m.ParameterFault("Device.Users.User.1.Password", 9007, "hunter2 is weak"), m.ParameterFault("Device.A", 9005, "no")),
    )
    kept = redacted(fault, SECRETS)
    assert "hunter2" not in repr(kept)
    assert kept.parameter_faults[1].text == "no"
    assert redacted(m.Fault(9002, "full"), SECRETS) == m.Fault(9002, "full")


@given(any_message())
def test_redaction_keeps_the_kind_and_is_done_once(message: Any) -> None:
    kept = redacted(message, SECRETS)
    assert type(kept) is type(message)
    assert redacted(kept, SECRETS) == kept

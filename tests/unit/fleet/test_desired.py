"""Wishes become parameters of either data model, and what must never be wanted is refused with a sentence."""

import pytest

from ringfence.base.secret import Secret
from ringfence.fleet.desired import Difference, Group, SealedWish, Subject, Wish, compiled, drift, lay, refusals, wish_refusals
from ringfence.fleet.meanings import MEANINGS, DataModel, data_model_of, fill, is_secret

HOSTS = frozenset({"acs.example.net"})


def subject(label: str = "", version: str = "8.20") -> Subject:
    labels = frozenset({label} if label else ())
    return Subject(oui="00040E", product_class="F", software_version=version, region="R1", labels=labels, data_model=DataModel.TR098)


def test_one_wish_has_a_name_and_a_value_in_each_model() -> None:
    wish = Wish(meaning="wlan.security", value="wpa2", instance="2")
    (old,) = compiled(DataModel.TR098, [wish]).settings
    (new,) = compiled(DataModel.TR181, [wish]).settings
    assert (old.name, old.value) == ("InternetGatewayDevice.LANDevice.1.WLANConfiguration.2.BeaconType", "11i")
    assert (new.name, new.value) == ("Device.WiFi.AccessPoint.2.Security.ModeEnabled", "WPA2-Personal")


def test_what_a_model_has_no_name_for_is_said() -> None:
    found = compiled(DataModel.TR098, [Wish(meaning="admin.ssh", value="false"), Wish(meaning="upnp.igd", value="false")])
    assert found.impossible == ("admin.ssh",)
    assert [setting.name for setting in found.settings] == ["InternetGatewayDevice.UPnP.Device.UPnPIGD"]


def test_the_bootstrap_lane_hands_out_a_url_and_the_own_credential_only() -> None:
    every = [Wish(meaning=name, value="1") for name, meaning in MEANINGS.items() if not meaning.secret]
    secrets = [SealedWish(meaning=name, value=Secret("x"), stamp="1") for name, meaning in MEANINGS.items() if meaning.secret]
    found = compiled(DataModel.TR098, every, secrets, bootstrap=True)
    below = "InternetGatewayDevice.ManagementServer."
    assert {setting.name for setting in found.settings} == {below + "URL", below + "Username", below + "Password"}


def test_groups_are_laid_by_rank_and_the_device_comes_last() -> None:
    low = Group(name="a", rank=1, oui="00040E", wishes=(Wish(meaning="upnp.igd", value="true"), Wish(meaning="sip.proxy", value="p")))
    high = Group(name="b", rank=2, label="canary", wishes=(Wish(meaning="upnp.igd", value="false"),))
    assert [wish.value for wish in lay(subject(), [high, low], [])] == ["p", "true"]
    assert [wish.value for wish in lay(subject("canary"), [high, low], [])] == ["p", "false"]
    assert [wish.value for wish in lay(subject("canary"), [high, low], [Wish(meaning="upnp.igd", value="1")])] == ["p", "1"]


@pytest.mark.parametrize(
    ("meaning", "value", "word"),
    [
        ("acs.enable_cwmp", "0", "locks the ACS out"),
        ("acs.url", "https://evil.example/", "not a host of this ACS"),
        ("acs.url", "ftp://acs.example.net/", "not a host of this ACS"),
        ("acs.inform_enable", "False", "periodic"),
        ("admin.remote_access", "true", "Remote access"),
        ("wlan.security", "WEP", "WEP"),
        ("wlan.security", "Basic", "WEP"),
        ("acs.inform_interval", "-1", "whole number"),
        ("upnp.igd", "maybe", "true or false"),
        ("version.software", "8.20", "cannot be set"),
        ("no.such", "1", "no meaning"),
    ],
)
def test_what_cannot_be_wanted_is_refused_with_a_sentence(meaning: str, value: str, word: str) -> None:
    sentences = wish_refusals(Wish(meaning=meaning, value=value), HOSTS)
    assert len(sentences) == 1
    assert word in sentences[0]


def test_a_good_group_is_not_refused_a_fleet_wide_one_and_a_secret_are() -> None:
    wish = Wish(meaning="acs.url", value="https://acs.example.net:7548/")
    assert refusals(Group(name="g", region="R1", wishes=(wish,)), HOSTS) == ()
    (whole,) = refusals(Group(name="g", wishes=(wish,)), HOSTS)
    assert "whole fleet" in whole
    (secret,) = refusals(Group(name="g", region="R1", wishes=(Wish(meaning="sip.password", value="x"),)), HOSTS)
    assert "belongs to one device" in secret


def test_drift_names_what_differs_and_no_secret() -> None:
    wishes = [Wish(meaning="upnp.igd", value="false"), Wish(meaning="admin.remote_access", value="false")]
    settings = compiled(DataModel.TR181, wishes, [SealedWish(meaning="sip.password", value=Secret("x"), stamp="1")]).settings
    reported = {"Device.UPnP.Device.UPnPIGD": "1", "Device.UserInterface.RemoteAccess.Enable": "0"}
    assert drift(settings, reported) == (Difference(name="Device.UPnP.Device.UPnPIGD", wanted="false", reported="1"),)


def test_secret_names_and_harmless_ones() -> None:
    below = "InternetGatewayDevice."
    for name in ("ManagementServer.Password", "LANDevice.1.WLANConfiguration.1.PreSharedKey.1.PreSharedKey", "X_HW_WebUserInfo.1.Password",
                 "X_AVM-DE_WPS_PIN", "LANDevice.1.WLANConfiguration.1.WEPKey.1.WEPKey", "X_TP_PSK"):  # fmt: skip
        assert is_secret(below + name), name
    for name in ("ManagementServer.ParameterKey", "UserInterface.PasswordRequired", "DeviceInfo.SoftwareVersion", "Time.Mapping"):
        assert not is_secret(below + name), name
    assert all(is_secret(name) for meaning in MEANINGS.values() if meaning.secret for name in (meaning.tr098, meaning.tr181) if name)


def test_instances_fill_from_the_right_and_must_fit() -> None:
    assert fill("a.{i}.b.{i}.c", "5") == "a.1.b.5.c"
    assert fill("a.{i}.b.{i}.c", "2.5") == "a.2.b.5.c"
    assert fill("a.{i}.c", "2.5") is None
    assert fill("a.{i}.c", "x") is None
    assert data_model_of(("Device.DeviceInfo.X",)) is DataModel.TR181


def test_every_instance_means_each_that_the_device_reported_and_one_of_its_own_goes_before_it() -> None:
    every, one = Wish(meaning="wlan.security", value="wpa2", instance="*"), Wish(meaning="wlan.security", value="wpa_wpa2", instance="2")
    wlan = "InternetGatewayDevice.LANDevice.1.WLANConfiguration."
    names = [f"{wlan}1.BeaconType", f"{wlan}2.BeaconType", f"{wlan}1.BeaconTypeX", f"{wlan}1.Stats.BeaconType"]
    found = compiled(DataModel.TR098, [one, every], names=names)
    assert [(setting.name, setting.value) for setting in found.settings] == [
        (f"{wlan}1.BeaconType", "11i"),
        (f"{wlan}2.BeaconType", "WPAand11i"),
    ]
    assert found.templates == ()
    unknown = compiled(DataModel.TR181, [every], names=names)
    assert (unknown.settings, unknown.impossible) == ((), ())
    assert [template.name for template in unknown.templates] == ["Device.WiFi.AccessPoint.{i}.Security.ModeEnabled"]
    assert wish_refusals(every, frozenset()) == ()
    assert wish_refusals(Wish(meaning="upnp.enable", value="0", instance="*"), frozenset()), "it has no instances"
    assert "WEP" in wish_refusals(Wish(meaning="wlan.security", value="wep", instance="*"), frozenset())[0]

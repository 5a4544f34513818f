"""What is wanted of one device, on a real PostgreSQL: from where, what differs, and a secret that is named and never shown."""

from pathlib import Path

import pytest

from ringfence.base.errors import NotFoundError, OperatorError
from ringfence.base.secret import Secret
from ringfence.fleet.desired import Difference, Group, Wish
from ringfence.fleet.service import FleetService
from tests.integration.fleet.test_admit import inform, run

HOSTS = frozenset({"acs.example.net"})


def test_what_is_wanted_of_a_device_and_what_of_it_is_not_so(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        (seen,) = await fleet.admit([inform("A1")])
        device = seen.device_id
        low = Group(
            name="low", rank=1, oui="00040E", wishes=(Wish(meaning="upnp.igd", value="false"), Wish(meaning="sip.proxy", value="a"))
        )
        await fleet.put_group("anna", low, HOSTS)
        await fleet.put_group("anna", Group(name="other", oui="AAAAAA", wishes=(Wish(meaning="sip.proxy", value="no"),)), HOSTS)
        await fleet.want("anna", device, Wish(meaning="sip.proxy", value="b"), HOSTS)
        await fleet.want("anna", device, Wish(meaning="admin.ssh", value="false"), HOSTS)
        await fleet.put_secret("anna", device, "sip.password", Secret("planted"))

        found = await fleet.wanted(device)
        assert [group.name for group in await fleet.groups()] == ["other", "low"]
        assert found.groups == ("low",)
        assert [(wish.meaning, wish.value) for wish in found.own] == [("admin.ssh", "false"), ("sip.proxy", "b")]
        assert [(meaning, instance) for meaning, instance, _ in found.secrets] == [("sip.password", "")]
        assert found.impossible == ("admin.ssh",), "TR-098 has no name for it"
        proxy = "InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.SIP.ProxyServer"
        assert Difference(name=proxy, wanted="b", reported=None) in found.differences
        assert "planted" not in repr(found)

        await fleet.wish_no_more("anna", device, "sip.proxy")
        await fleet.wish_no_more("anna", device, "sip.password")
        found = await fleet.wanted(device)
        assert (len(found.own), found.secrets) == (1, ())
        assert Difference(name=proxy, wanted="a", reported=None) in found.differences
        with pytest.raises(NotFoundError):
            await fleet.wish_no_more("anna", device, "sip.proxy")
        with pytest.raises(NotFoundError):
            await fleet.wanted(device + 1)

    run(database_url, tmp_path, body)


def test_a_group_says_a_thing_once(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        twice = (Wish(meaning="sip.proxy", value="a"), Wish(meaning="sip.proxy", value="b"))
        with pytest.raises(OperatorError, match="wanted twice"):
            await fleet.put_group("anna", Group(name="g", oui="00040E", wishes=twice), HOSTS)
        assert await fleet.groups() == ()

    run(database_url, tmp_path, body)

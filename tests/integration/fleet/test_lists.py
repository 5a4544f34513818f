"""The lists of the fleet on a real PostgreSQL: each goes on after its key, and each change carries the person's name."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replaced

from ringfence.base.errors import ConflictError, NotFoundError, OperatorError
from ringfence.base.secret import Secret
from ringfence.fleet.behind import Behind, BehindKind, Origin
from ringfence.fleet.desired import Group, Wish
from ringfence.fleet.model import Firmware, Lane, Link, Proof, SessionDone, Standing
from ringfence.fleet.service import FleetService
from ringfence.fleet.session import Stop, Work
from ringfence.protocols.cwmp.messages import Download, ParameterValue
from tests.integration.fleet.test_admit import FEED, NOW, ROOT, ask, inform, run

HOSTS = frozenset({"acs.example.net"})
STOCK = "oui,product_class,serial_number\n" + "".join(f"00040E,FRITZ,S{number}\n" for number in range(5)) + "00AAAA,Box,X1\n"
IMAGE = Firmware(
    sha256="a" * 64, oui="00040E", product_class="FRITZ", version="8.0", size_bytes=9, file_name="f.image", signature="vendor_checked"
)


def test_stock_goes_on_after_the_last_id_and_says_which_version_is_wanted(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        await fleet.import_devices("anna", io.StringIO(STOCK))
        first = await fleet.stock(limit=2)
        rest = await fleet.stock(after=first[-1].device_id)
        assert [entry.serial_number for entry in (*first, *rest)] == ["S0", "S1", "S2", "S3", "S4", "X1"]
        assert [entry.serial_number for entry in await fleet.stock(oui="00AAAA", product_class="Box")] == ["X1"]
        assert {(entry.wanted_version, entry.ready) for entry in first} == {("", True)}

    run(database_url, tmp_path, body)


def test_stock_is_updated_once_a_day_and_gets_nothing_else(database_url: str, tmp_path: Path) -> None:
    old, new = ((ParameterValue(f"{ROOT}DeviceInfo.SoftwareVersion", version),) for version in ("7.0", "8.0"))

    async def body(fleet: FleetService) -> None:
        await fleet.import_devices("anna", io.StringIO(STOCK))
        await fleet.put_firmware("anna", IMAGE)
        await fleet.put_group("anna", Group(name="all", oui="00040E", wishes=(Wish(meaning="acs.inform_interval", value="300"),)), HOSTS)
        await fleet.put_secret("anna", (await fleet.stock())[0].device_id, "sip.password", Secret("planted"))
        shelf = inform("S0", peer_ip="10.0.0.9", parameters=old, proof=Proof.NONE, proven_name="", lane=Lane.BOOTSTRAP)
        (idle,) = await fleet.admit([shelf])
        assert (idle.work, idle.errand) == (None, None), "nothing is wanted of this model's stock"
        await fleet.set_stock_firmware("anna", IMAGE.sha256)
        (seen,) = await fleet.admit([shelf])
        assert (seen.standing, seen.work) == (Standing.STOCK, None)
        assert seen.errand is not None
        assert seen.errand.methods == {"Download"}
        given = await fleet.give(seen.device_id, seen.errand.methods, lambda device, digest, size: f"http://fw/{digest}/{device}/{size}")
        assert given is not None
        assert isinstance(given.rpc, Download)
        assert given.rpc.url == f"http://fw/{IMAGE.sha256}/{seen.device_id}/9"
        assert [len((await fleet.orders(answer.device_id)).wanted) for answer in await fleet.admit([shelf])] == [1], "no second one today"
        (entry, *_) = await fleet.stock(limit=1)
        assert (entry.software_version, entry.wanted_version, entry.ready) == ("7.0", "8.0", False)
        (line,) = await fleet.admit([replace(shelf, peer_ip="192.0.2.1", device=replaced(shelf.device, serial_number="S1"))])
        assert (line.reason, line.errand) == ("in_stock_on_a_line", None), "stock that is at a customer's proves itself"
        await fleet.admit([replace(shelf, device=replaced(shelf.device, serial_number="S2"), parameters=new)])
        ready = {entry.serial_number: entry.ready for entry in await fleet.stock()}
        assert (ready["S0"], ready["S2"]) == (False, True)
        assert (await fleet.orders((await fleet.stock())[2].device_id)).wanted == (), "it has the version already"
        (model, _) = await fleet.models()
        assert (model.stock_version, model.stock_sha256) == ("8.0", IMAGE.sha256)
        await fleet.clear_stock_firmware("anna", model.model_id)
        assert {entry.wanted_version for entry in await fleet.stock()} == {""}

    run(database_url, tmp_path, body)


def test_replacements_that_wait_say_which_line_and_whose_it_is(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        await fleet.import_devices("anna", io.StringIO("oui,product_class,serial_number,state,line\n00040E,FRITZ,OLD,shipped,L1\n"))
        (old,) = await fleet.admit([inform("OLD")])
        await fleet.admit([inform("NEW"), inform("OTHER", peer_ip="192.0.2.2")])
        other, new = await fleet.pending()
        assert (new.serial_number, new.line, new.reason, new.holder_id, new.holder_serial) == (
            "NEW", "L1", "line_has_another_device", old.device_id, "OLD",
        )  # fmt: skip
        assert (other.line, other.reason, other.holder_id) == ("L2", "unknown_on_line", 0)
        assert await fleet.pending(before=other.device_id) == (new,)
        await fleet.admit([inform("NEW", peer_ip="192.0.2.2")])
        assert [entry.line for entry in await fleet.pending()] == ["L2", "L2"], "where it was seen last"
        await fleet.verify("anna", new.device_id, "L1")
        await fleet.admit([inform("NEW")])
        assert [entry.serial_number for entry in await fleet.pending()] == ["OTHER"]

    run(database_url, tmp_path, body)


def test_tables_of_a_device_tell_what_stands_behind_it_over_several_sessions(database_url: str, tmp_path: Path) -> None:
    hosts = "InternetGatewayDevice.LANDevice.1.Hosts.Host."

    async def body(fleet: FleetService) -> None:
        (seen,) = await fleet.admit([inform("A1")])
        told = [{f"{hosts}1.MACAddress": "AA-BB-CC-00-11-22", f"{hosts}1.Active": "1"}, {f"{hosts}1.HostName": "attic-repeater"}, {}]
        found = []
        for number, learned in enumerate(told):
            work = Work(device_id=seen.device_id, learned=learned)
            await fleet.settle([SessionDone(device_id=seen.device_id, session_id=f"s{number}", work=work, at_ms=NOW)])
            found.append([(entry.mac, entry.name, entry.kind) for entry in await fleet.behind(seen.device_id)])
        mac = "aa:bb:cc:00:11:22"
        assert found == [[(mac, "", BehindKind.HOST)], *[[(mac, "attic-repeater", BehindKind.REPEATER)]] * 2]

    run(database_url, tmp_path, body)


def test_a_model_has_a_twin_and_no_twin_of_a_twin(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        await fleet.import_devices("anna", io.StringIO(STOCK + "00BBBB,Clone,C1\n"))
        fritz, box, clone = await fleet.models()
        await fleet.set_twin("anna", box.model_id, fritz.model_id)
        assert [(model.twin_oui, model.twin_product_class) for model in await fleet.models()] == [("", ""), ("00040E", "FRITZ"), ("", "")]
        for model, twin in ((clone, box), (fritz, clone)):
            with pytest.raises(ConflictError):
                await fleet.set_twin("anna", model.model_id, twin.model_id)
        with pytest.raises(OperatorError):
            await fleet.set_twin("anna", box.model_id, box.model_id)
        with pytest.raises(NotFoundError):
            await fleet.set_twin("anna", box.model_id, 10_000)
        await fleet.set_twin("anna", box.model_id, 0)
        assert all(not model.twin_id for model in await fleet.models())

    run(database_url, tmp_path, body)
    assert ask(database_url, "select person from fleet.history where kind = 'twin'") == [("anna",), ("anna",)]


def test_a_stop_is_listed_and_lifted_and_the_setting_is_tried_again(database_url: str, tmp_path: Path) -> None:
    name = f"{ROOT}ManagementServer.PeriodicInformInterval"

    async def body(fleet: FleetService) -> None:
        group = Group(name="all", oui="00040E", wishes=(Wish(meaning="acs.inform_interval", value="300"),))
        await fleet.put_group("anna", group, HOSTS)
        await fleet.import_devices("anna", io.StringIO("oui,product_class,serial_number,state,line\n00040E,FRITZ,A1,shipped,L1\n"))
        (first,) = await fleet.admit([inform("A1")])
        assert first.work is not None
        stopped = replace(first.work, stops=(Stop(name=name, fault_code=9007),))
        await fleet.settle([SessionDone(device_id=first.device_id, session_id="s", work=stopped, at_ms=NOW)])
        (entry,) = await fleet.stops()
        assert (entry.name, entry.fault_code, entry.device_id, entry.stopped_ms) == (name, 9007, first.device_id, NOW)
        key = (entry.oui, entry.product_class, entry.software_version, entry.name)
        assert await fleet.stops(after=key) == ()
        assert (await fleet.admit([inform("A1")]))[0].work is None
        named = {"oui": entry.oui, "product_class": entry.product_class, "software_version": entry.software_version, "name": name}
        await fleet.lift_stop("anna", **named)
        assert await fleet.stops() == ()
        assert (await fleet.admit([inform("A1")]))[0].work is not None, "its next Inform tries again"
        with pytest.raises(NotFoundError):
            await fleet.lift_stop("anna", **named)

    run(database_url, tmp_path, body)


def test_refusals_go_on_where_the_page_before_ended(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        for number in range(5):
            await fleet.admit([inform(f"R{number}", proven_name="somebody-else")])
        first = await fleet.refused(limit=2)
        rest = await fleet.refused(before=(first[-1].last_ms, first[-1].refusal_id))
        assert [entry.serial_number for entry in (*first, *rest)] == ["R4", "R3", "R2", "R1", "R0"]
        assert {(entry.reason, entry.times, entry.proven_name) for entry in first} == {("identity_mismatch", 1, "somebody-else")}

    run(database_url, tmp_path, body)


def test_regions_and_labels_unsettle_the_devices_they_change(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        rows = "".join(f"00040E,FRITZ,A{number},shipped,L{number + 1}\n" for number in range(2))
        await fleet.import_devices("anna", io.StringIO(f"oui,product_class,serial_number,state,line\n{rows}"))
        both = [inform("A0"), inform("A1", peer_ip="192.0.2.2")]
        ids = [answer.device_id for answer in await fleet.admit(both)]
        await fleet.put_group("anna", Group(name="c", label="canary", wishes=(Wish(meaning="acs.inform_interval", value="60"),)), HOSTS)
        await fleet.admit(both)
        assert [answer.work for answer in await fleet.admit(both)] == [None, None]
        assert await fleet.set_labels("anna", ids, add=("canary", "b1")) == 2
        assert await fleet.set_labels("anna", ids[:1], remove=("canary",)) == 1
        assert await fleet.set_labels("anna", ids, add=("b1",)) == 0, "nothing changed"
        assert [answer.work is None for answer in await fleet.admit(both)] == [True, False]
        assert await fleet.set_region("anna", ids, "north") == 2
        assert await fleet.set_region("anna", ids, "north") == 0
        with pytest.raises(OperatorError):
            await fleet.set_labels("anna", ids, add=("Not A Label",))
        with pytest.raises(ConflictError):
            await fleet.set_labels("anna", ids, add=[f"l{number}" for number in range(40)])
        changes = [(entry.kind, entry.old_value, entry.new_value) for entry in await fleet.history(ids[0]) if entry.person == "anna"]
        assert changes == [("region", "", "north"), ("labels", "b1 canary", "b1"), ("labels", "", "b1 canary")]

    run(database_url, tmp_path, body)


def test_versions_are_kept_a_day_each(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        version = (ParameterValue(f"{ROOT}DeviceInfo.SoftwareVersion", "7.1"),)
        await fleet.admit([inform("A1", parameters=version), inform("A2", peer_ip="192.0.2.2", parameters=version)])
        await fleet.count()
        await fleet.count_versions()
        await fleet.count_versions()
        (only,) = await fleet.versions()
        assert (only.day, only.oui, only.software_version, only.devices) == ("2026-09-21", "00040E", "7.1", 2)
        await fleet.admit([inform("A1", parameters=(ParameterValue(f"{ROOT}DeviceInfo.SoftwareVersion", "7.2"),))])
        await fleet.count()
        await fleet.count_versions()
        assert {(entry.software_version, entry.devices) for entry in await fleet.versions(oui="00040E")} == {("7.1", 1), ("7.2", 1)}
        assert await fleet.versions(oui="FFFFFF") == ()

    run(database_url, tmp_path, body)


def test_what_a_person_says_stands_behind_a_device_stays(database_url: str, tmp_path: Path) -> None:
    mac = "aa:bb:cc:00:11:22"

    async def body(fleet: FleetService) -> None:
        (seen,) = await fleet.admit([inform("A1")])
        await fleet.put_behind_by_hand("anna", seen.device_id, mac.upper(), "attic", BehindKind.REPEATER)
        listed = Behind(mac=mac, name="from-a-table", kind=BehindKind.HOST, origin=Origin.HOSTS)
        await fleet.put_behind(seen.device_id, [listed])
        (kept,) = await fleet.behind(seen.device_id)
        assert (kept.name, kept.kind, kept.origin) == ("attic", BehindKind.REPEATER, Origin.HAND)
        with pytest.raises(OperatorError):
            await fleet.put_behind_by_hand("anna", seen.device_id, "no mac", "", BehindKind.HOST)
        await fleet.remove_behind("anna", seen.device_id, mac)
        with pytest.raises(NotFoundError):
            await fleet.remove_behind("anna", seen.device_id, mac)
        said = [(entry.new_value, entry.person) for entry in await fleet.history(seen.device_id) if entry.kind == "behind"]
        assert said == [("removed", "anna"), ("repeater attic", "anna")]

    run(database_url, tmp_path, body, FEED)


def test_a_link_that_is_stated_stands_until_it_is_taken_back(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        (answer,) = await fleet.admit([inform("A0")])
        assert await fleet.set_link("anna", [answer.device_id], Link.MOBILE) == 1
        assert await fleet.set_link("anna", [answer.device_id], Link.MOBILE) == 0
        await fleet.admit([inform("A0")])
        assert (await fleet.device(answer.device_id)).link is Link.MOBILE, "an Inform does not know better"
        await fleet.set_link("anna", [answer.device_id], Link.DIRECT)
        await fleet.admit([inform("A0", peer_ip="100.64.0.9")])
        assert (await fleet.device(answer.device_id)).link is Link.CGNAT
        with pytest.raises(OperatorError):
            await fleet.set_link("anna", [answer.device_id], Link.NAT)

    run(database_url, tmp_path, body)


def test_a_model_is_described(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        await fleet.admit([inform("A0")])
        (model,) = await fleet.models()
        await fleet.describe_model("anna", model.model_id, name="7590", hardware_version="226", chipset="VRX518")
        (described,) = await fleet.models()
        assert (described.name, described.hardware_version, described.chipset) == ("7590", "226", "VRX518")
        with pytest.raises(NotFoundError):
            await fleet.describe_model("anna", 4711, name="", hardware_version="", chipset="")
        with pytest.raises(OperatorError):
            await fleet.describe_model("anna", model.model_id, name="x" * 65, hardware_version="", chipset="")

    run(database_url, tmp_path, body)

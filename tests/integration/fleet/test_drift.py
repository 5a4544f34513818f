"""The comparison of all devices with what is wanted, on a real PostgreSQL: what differs is kept, and set right at the next Inform."""

import io
from dataclasses import replace
from pathlib import Path

from ringfence.fleet.desired import Group, Wish
from ringfence.fleet.drifting.service import Compared
from ringfence.fleet.model import SessionDone
from ringfence.fleet.service import FleetService
from ringfence.fleet.session import Stop, answered, next_request
from ringfence.protocols.cwmp.messages import (
    GetParameterNames,
    GetParameterNamesResponse,
    GetParameterValues,
    GetParameterValuesResponse,
    ParameterInfo,
    ParameterValue,
    SetParameterValues,
    SetParameterValuesResponse,
)
from tests.integration.fleet.test_admit import NOW, ROOT, ask, inform, run

HOSTS = frozenset({"acs.example.net"})
INTERVAL = f"{ROOT}ManagementServer.PeriodicInformInterval"
SHEET = "oui,product_class,serial_number,state,line\n00040E,FRITZ,A1,shipped,L1\n00040E,FRITZ,A2,shipped,L2\n"
FLEET = [inform("A1"), inform("A2", peer_ip="192.0.2.2")]


async def settled(fleet: FleetService) -> list[int]:
    """Two devices that did all that the group `all` wants; their ids."""
    await fleet.put_group("anna", Group(name="all", oui="00040E", wishes=(Wish(meaning="acs.inform_interval", value="300"),)), HOSTS)
    await fleet.import_devices("anna", io.StringIO(SHEET))
    for answer in await fleet.admit(FLEET):
        work = answer.work
        assert work is not None
        while (request := next_request(work)) is not None:
            match request:
                case SetParameterValues():
                    work = answered(work, request, SetParameterValuesResponse(0))
                case GetParameterValues():
                    values = tuple(ParameterValue(name, "3600") for name in request.names)
                    work = answered(work, request, GetParameterValuesResponse(values))
                case _:
                    raise AssertionError(request)
        await fleet.settle([SessionDone(device_id=answer.device_id, session_id=f"s{answer.device_id}", work=work, at_ms=NOW)])
    again = await fleet.admit(FLEET)
    assert [answer.work for answer in again] == [None, None]
    return [answer.device_id for answer in again]


def test_a_device_that_went_its_own_way_is_listed_and_set_right_at_its_next_inform(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        first, second = await settled(fleet)
        assert await fleet.compare() == Compared(last=0, devices=2, drifted=0)
        assert await fleet.drift() == ()
        ask(database_url, f"update fleet.reported set value = '86400' where device_id = {second} and name = '{INTERVAL}' returning 1")
        assert await fleet.compare(0, 1) == Compared(last=first, devices=1, drifted=0)
        assert await fleet.compare(first, 1) == Compared(last=second, devices=1, drifted=1)
        assert await fleet.compare(second, 1) == Compared(last=0, devices=0, drifted=0)
        (entry,) = await fleet.drift(group="all")
        assert (entry.device_id, entry.name, entry.wanted, entry.reported, entry.stopped) == (second, INTERVAL, "300", "86400", 0)
        assert await fleet.drift(group="other") == ()
        assert await fleet.drift(after=(second, INTERVAL)) == ()
        left, right = await fleet.admit(FLEET)
        assert (left.work is None, right.work is not None) == (True, True)
        assert right.work is not None
        done = answered(replace(right.work, reported={INTERVAL: "300"}), GetParameterValues(()), GetParameterValuesResponse(()))
        learned = replace(done, learned={INTERVAL: "300"})
        await fleet.settle([SessionDone(device_id=second, session_id="again", work=learned, at_ms=NOW)])
        assert (await fleet.compare()).drifted == 0
        assert await fleet.drift() == (), "what is as wanted again is gone"

    run(database_url, tmp_path, body)


def test_the_list_says_what_is_of_the_device_alone_and_what_its_model_refuses(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        first, second = await settled(fleet)
        await fleet.want("anna", first, Wish(meaning="acs.inform_interval", value="900"), HOSTS)
        await fleet.put_group("anna", Group(name="top", rank=9, oui="00040E", wishes=(Wish(meaning="upnp.enable", value="0"),)), HOSTS)
        (work,) = [answer.work for answer in await fleet.admit([FLEET[1]])]
        assert work is not None
        stopped = replace(work, stops=(Stop(name=f"{ROOT}UPnP.Device.Enable", fault_code=9005),))
        await fleet.settle([SessionDone(device_id=second, session_id="s", work=stopped, at_ms=NOW)])
        assert (await fleet.compare()).drifted == 2
        rows = [(entry.device_id, entry.group, entry.wanted, entry.reported, entry.stopped) for entry in await fleet.drift()]
        assert rows == [(first, "", "900", "300", 0), (first, "top", "0", None, 9005), (second, "top", "0", None, 9005)]
        assert [entry.device_id for entry in await fleet.drift(group="")] == [first]
        page = await fleet.drift(limit=1)
        assert len(await fleet.drift(after=(page[0].device_id, page[0].name))) == 2
        assert [answer.work is None for answer in await fleet.admit(FLEET)] == [False, True], "nobody is asked for what its model refuses"
        await fleet.remove_group("anna", "top")
        assert (await fleet.compare()).drifted == 1

    run(database_url, tmp_path, body)


def test_every_instance_is_asked_for_once_set_and_watched(database_url: str, tmp_path: Path) -> None:
    wlan = f"{ROOT}LANDevice.1.WLANConfiguration."

    async def body(fleet: FleetService) -> None:
        (first, _) = await settled(fleet)
        await fleet.put_group(
            "anna", Group(name="radio", oui="00040E", wishes=(Wish(meaning="wlan.security", value="wpa2", instance="*"),)), HOSTS
        )
        work = (await fleet.admit(FLEET))[0].work
        assert work is not None
        told = {f"{ROOT}LANDevice.": f"{ROOT}LANDevice.1.", wlan: f"{wlan}5."}
        asked = []
        while (request := next_request(work)) is not None:
            asked.append(type(request).__name__)
            match request:
                case GetParameterNames(path=path):
                    work = answered(work, request, GetParameterNamesResponse((ParameterInfo(told[path], writable=False),)))
                case GetParameterValues(names=names):
                    work = answered(work, request, GetParameterValuesResponse(tuple(ParameterValue(name, "Basic") for name in names)))
                case SetParameterValues(parameters=(parameter,)):
                    assert (parameter.name, parameter.value) == (f"{wlan}5.BeaconType", "11i")
                    work = answered(work, request, SetParameterValuesResponse(0))
        assert asked == ["GetParameterNames", "GetParameterNames", "GetParameterValues", "SetParameterValues"]
        await fleet.settle([SessionDone(device_id=first, session_id="w", work=work, at_ms=NOW)])
        assert (await fleet.admit(FLEET))[0].work is None
        assert (await fleet.wanted(first)).differences == ()
        ask(database_url, f"update fleet.reported set value = 'Basic' where name = '{wlan}5.BeaconType' returning 1")
        assert (await fleet.compare()).drifted == 1
        (entry,) = await fleet.drift(group="radio")
        assert (entry.device_id, entry.name, entry.wanted, entry.reported) == (first, f"{wlan}5.BeaconType", "11i", "Basic")
        again = (await fleet.admit(FLEET))[0].work
        assert again is not None
        assert isinstance(next_request(again), SetParameterValues), "which instances there are is known"

    run(database_url, tmp_path, body)

"""The operator's side on a real PostgreSQL: stock, replacement across data models, wishes, secrets, orders, pages."""

import asyncio
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ringfence.base.errors import ConflictError, OperatorError
from ringfence.base.secret import Secret
from ringfence.fleet.adapters import Sealer
from ringfence.fleet.coverage import Registration
from ringfence.fleet.desired import Group, Wish
from ringfence.fleet.lifecycle import Life, Occurrence
from ringfence.fleet.model import Filter, Firmware, SessionDone, Standing
from ringfence.fleet.orders import MAX_COMMAND_KEY_CHARS, Move, OrderState
from ringfence.fleet.service import FleetService
from ringfence.fleet.session import answered, next_request
from ringfence.protocols.cwmp.messages import (
    Download,
    Fault,
    ParameterFault,
    ParameterValue,
    Reboot,
    SetParameterValues,
    SetParameterValuesResponse,
)
from ringfence.runtime.db import Database
from tests.integration.fleet.test_admit import FEED, NOW, ask, inform, run, sealer

HOSTS = frozenset({"acs.example.net"})
NEW_TREE = (ParameterValue("Device.DeviceInfo.SoftwareVersion", "1.0"), ParameterValue("Device.ManagementServer.ParameterKey", ""))


def test_a_device_from_stock_is_updated_there_and_bound_once_it_was_shipped(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        sheet = "oui,product_class,serial_number,state,line,customer\n00040E,FRITZ,A1,in_stock,,\n00040E,FRITZ,B1,shipped,L1,C1\nbad,,,,,\n"
        report = await fleet.import_devices("anna", io.StringIO(sheet))
        assert (report.rows, report.added, report.changed, len(report.bad)) == (3, 2, 0, 1)
        shelf, home = await fleet.admit([inform("A1", peer_ip="198.51.100.1"), inform("B1")])
        assert (shelf.standing, shelf.life) == (Standing.STOCK, Life.IN_STOCK)
        assert (home.standing, home.life, home.line) == (Standing.MANAGED, Life.MANAGED, "L1")
        again = await fleet.import_devices("anna", io.StringIO(sheet))
        assert (again.added, again.changed) == (0, 0), "a device that informed keeps what it is"
        with pytest.raises(ConflictError):
            await fleet.happened("anna", home.device_id, Occurrence.REPLACED)
        assert await fleet.happened("anna", home.device_id, Occurrence.REPORTED_LOST) is Life.LOST
        assert (await fleet.admit([inform("B1")]))[0].standing is Standing.REPLACEMENT_PENDING

    run(database_url, tmp_path, body)


def test_a_verified_replacement_takes_over_across_data_models_and_the_old_identity_is_closed(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        await fleet.import_devices(
            "anna", io.StringIO("oui,product_class,serial_number,state,line,customer\n00040E,FRITZ,OLD,shipped,L1,C1\n")
        )
        (old,) = await fleet.admit([inform("OLD")])
        await fleet.want("anna", old.device_id, Wish(meaning="sip.proxy", value="sip.example.net"), HOSTS)
        await fleet.put_secret("anna", old.device_id, "sip.password", Secret("planted-sip"))
        await fleet.put_secret("anna", old.device_id, "acs.password", Secret("planted-acs"))
        await fleet.put_credential(old.device_id, "00040E-OLD", Secret("ha1"))
        new = inform("NEW", parameters=NEW_TREE)
        (pending,) = await fleet.admit([new])
        assert (pending.standing, pending.work) == (Standing.REPLACEMENT_PENDING, None)

        assert await fleet.verify("anna", pending.device_id, "L1") == (old.device_id,)
        (bound,) = await fleet.admit([new])
        assert (bound.standing, bound.line) == (Standing.MANAGED, "L1")
        assert bound.work is not None
        names = {setting.name: setting.value for setting in bound.work.settings}
        assert names["Device.Services.VoiceService.1.SIP.Network.1.ProxyServer"] == "sip.example.net"
        assert names["Device.Services.VoiceService.1.SIP.Client.1.AuthPassword"] == Secret("planted-sip")
        assert len(names) == 2, "its link to the ACS is its own"
        (closed,) = await fleet.admit([inform("OLD")])
        assert (closed.standing, closed.reason, closed.work) == (Standing.REFUSED, "identity_closed", None)
        assert await fleet.credential("00040E-OLD") is None
        (shown,) = await fleet.page(Filter(customer="C1", life="managed"))
        assert shown.device_id == pending.device_id
        assert [entry.person for entry in await fleet.history(pending.device_id) if entry.kind == "line"] == ["anna"]

    run(database_url, tmp_path, body)
    for table in ("secrets", "history", "outbox", "wanted_of_device", "reported"):
        assert "planted" not in str(ask(database_url, f"select * from fleet.{table}"))
        assert not any(
            b"planted" in value for row in ask(database_url, f"select * from fleet.{table}") for value in row if isinstance(value, bytes)
        )


def test_wishes_are_worked_off_and_proven_and_a_refusal_stops_the_model(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        listed = "oui,product_class,serial_number,state,line\n00040E,FRITZ,A1,shipped,L1\n00040E,FRITZ,B1,shipped,L2\n"
        await fleet.import_devices("anna", io.StringIO(listed))
        group = Group(name="g", oui="00040E", wishes=(Wish(meaning="upnp.igd", value="false"), Wish(meaning="sip.proxy", value="p")))
        await fleet.put_group("anna", group, HOSTS)
        with pytest.raises(OperatorError, match="WEP"):
            await fleet.put_group("anna", replace(group, wishes=(Wish(meaning="wlan.security", value="wep"),)), HOSTS)
        (first,) = await fleet.admit([inform("A1")])
        assert first.work is not None
        known = replace(first.work, reported={setting.name: "other" for setting in first.work.settings})
        request = next_request(known)
        assert isinstance(request, SetParameterValues)
        bad = next(one.name for one in request.parameters if one.name.endswith("ProxyServer"))
        work = answered(known, request, Fault(fault_code=9003, parameter_faults=(ParameterFault(bad, 9008),)))
        request = next_request(work)
        assert isinstance(request, SetParameterValues)
        work = answered(work, request, SetParameterValuesResponse(status=0))
        assert work.settled
        done = SessionDone(device_id=first.device_id, session_id="s1", work=work, at_ms=NOW, transcript=("Inform", "bye"))
        await fleet.settle([done, done])
        assert (await fleet.admit([inform("A1")]))[0].work is None, "settled"
        assert await fleet.transcripts(first.device_id) == (("s1", NOW, ("Inform", "bye")),)
        (second,) = await fleet.admit([inform("B1", peer_ip="192.0.2.2")])
        assert second.work is not None
        assert [stop.name for stop in second.work.stops] == [bad], "the model refused it, so it is asked of none"
        await fleet.put_group("anna", replace(group, wishes=(Wish(meaning="upnp.igd", value="true"),)), HOSTS)
        assert (await fleet.admit([inform("A1")]))[0].work is not None, "a new revision is new work"

    run(database_url, tmp_path, body)


def test_a_device_that_fails_is_left_alone_for_a_while(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        await fleet.import_devices("anna", io.StringIO("oui,product_class,serial_number,state,line\n00040E,FRITZ,A1,shipped,L1\n"))
        await fleet.put_group("anna", Group(name="g", oui="00040E", wishes=(Wish(meaning="sip.proxy", value="p"),)), HOSTS)
        (found,) = await fleet.admit([inform("A1")])
        assert found.work is not None
        await fleet.settle([SessionDone(device_id=found.device_id, session_id="s", work=replace(found.work, backed_off=9002), at_ms=NOW)])
        assert (await fleet.admit([inform("A1")]))[0].work is None

    run(database_url, tmp_path, body)
    assert ask(database_url, "select ringfence.ms(not_before_at), failures from fleet.presence") == [(NOW + 300_000, 1)]


def test_a_tree_is_read_over_several_sessions(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        await fleet.import_devices("anna", io.StringIO("oui,product_class,serial_number,state,line\n00040E,FRITZ,A1,shipped,L1\n"))
        (found,) = await fleet.admit([inform("A1")])
        await fleet.discover(found.device_id)
        (first,) = await fleet.admit([inform("A1")])
        assert first.work is not None
        assert first.work.explore == ("InternetGatewayDevice.",)
        rest = replace(first.work, explore=("InternetGatewayDevice.LANDevice.",), read=("InternetGatewayDevice.X",))
        await fleet.settle([SessionDone(device_id=found.device_id, session_id="s", work=rest, at_ms=NOW)])
        (second,) = await fleet.admit([inform("A1")])
        assert second.work is not None
        assert (second.work.explore, second.work.read) == (rest.explore, rest.read)
        await fleet.settle([SessionDone(device_id=found.device_id, session_id="t", work=replace(rest, explore=(), read=()), at_ms=NOW)])
        assert (await fleet.admit([inform("A1")]))[0].work is None

    run(database_url, tmp_path, body)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(["order", "order", "crash", "order", "accept", "order", "deadline", "order", "report", "order"])
@given(st.lists(st.sampled_from(["order", "accept", "report", "fail", "crash", "deadline", "queued", "lost"]), max_size=12))
def test_no_attempt_is_ordered_twice_and_none_is_forgotten(database_url: str, tmp_path: Path, steps: list[str]) -> None:
    """Against a model: one open order at the most, each under a key of its own, numbered without a gap."""

    async def main() -> None:
        clock = [NOW]
        async with Database(database_url, name="test") as db:
            fleet = FleetService(db, sealer(tmp_path), FEED, None, lambda: clock[0])
            (found,) = await fleet.admit([inform(f"S{len(ask(database_url, 'select 1 from fleet.devices'))}")])
            device, given_out, is_open = found.device_id, [], ""
            for step in steps:
                clock[0] += 1_000
                match step:
                    case "order":
                        if is_open:
                            with pytest.raises(ConflictError):
                                await fleet.ordered(device, Reboot())
                        else:
                            is_open = await fleet.ordered(device, Reboot())
                            given_out.append(is_open)
                    case "crash":  # The process dies: another one, with no memory, goes on.
                        fleet = FleetService(db, sealer(tmp_path), FEED, None, lambda: clock[0])
                    case "deadline":
                        clock[0] += 5 * 3_600_000
                        assert await fleet.reconcile() == bool(is_open)
                        is_open = ""
                    case "queued":
                        await fleet.queued(device, frozenset())
                    case "accept" | "report" | "fail" if is_open:
                        to = {"accept": OrderState.STARTED, "report": OrderState.DONE, "fail": OrderState.FAILED}[step]
                        moves = (Move(command_key=is_open, to=to, fault_code=9002 if step == "fail" else 0),)
                        await fleet.settle([SessionDone(device_id=device, session_id="", work=None, at_ms=clock[0], moves=moves)])
                        is_open = is_open if step == "accept" else ""
                    case _:
                        pass
            rows = ask(database_url, f"select command_key, attempt, state from fleet.orders where device_id = {device} order by attempt")
            assert [row[0] for row in rows] == given_out
            assert [row[1] for row in rows] == list(range(1, len(rows) + 1))
            assert len(set(given_out)) == len(given_out)
            assert [row[0] for row in rows if row[2] in {"committed", "started"}] == ([is_open] if is_open else [])
            assert all(len(key) <= MAX_COMMAND_KEY_CHARS for key in given_out)
            ask(database_url, "delete from fleet.orders returning 1")

    asyncio.run(main())


def test_what_a_crash_left_is_settled_by_the_devices_own_queue(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        (found,) = await fleet.admit([inform("A1")])
        running = await fleet.ordered(found.device_id, Download(url="https://h/a?s=1"))
        gone = await fleet.ordered(found.device_id, Download(url="https://h/b"))
        with pytest.raises(ConflictError):
            await fleet.ordered(found.device_id, Download(url="https://h/a?s=2"))
        await fleet.queued(found.device_id, frozenset({running}))
        states = dict(ask(database_url, "select command_key, state from fleet.orders"))
        assert states == {running: "started", gone: "unknown"}
        assert await fleet.ordered(found.device_id, Download(url="https://h/b")) != gone

    run(database_url, tmp_path, body)


def test_two_processes_give_one_order(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        (found,) = await fleet.admit([inform("A1")])
        answers = await asyncio.gather(*(fleet.ordered(found.device_id, Reboot()) for _ in range(6)), return_exceptions=True)
        assert sum(isinstance(answer, str) for answer in answers) == 1
        assert all(isinstance(answer, str | ConflictError) for answer in answers)

    run(database_url, tmp_path, body)


def test_pages_follow_one_another_and_counts_add_up(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        await fleet.admit([inform(f"S{number:02d}", peer_ip="198.51.100.1") for number in range(25)])
        await fleet.count()
        assert sum(count.devices for count in await fleet.summary()) == 25
        found: list[str] = []
        after = 0
        while page := await fleet.page(Filter(life="bootstrapped"), after=after, limit=10):
            found += [device.serial_number for device in page]
            after = page[-1].device_id
        assert sorted(found) == [f"S{number:02d}" for number in range(25)]
        assert len(await fleet.page(Filter(serial="S1"))) == 10
        assert await fleet.page(Filter(serial="%")) == ()
        assert await fleet.mark_silent(1) == 0
        ask(database_url, "update fleet.presence set last_inform_at = last_inform_at - interval '2 days' returning 1")
        assert await fleet.mark_silent(86_400_000) == 25
        await fleet.count()
        assert {(count.life, count.devices) for count in await fleet.summary()} == {("silent", 25)}

    run(database_url, tmp_path, body)


def test_coverage_firmware_and_waking(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        await fleet.import_devices(
            "anna", io.StringIO("oui,product_class,serial_number,state,line,customer\n00040E,FRITZ,A1,shipped,L1,C1\n")
        )
        (found,) = await fleet.admit([inform("A1")])
        rows = [Registration(account=f"a{number}", customer=f"C{number}", user_agent="AVM FRITZ!Box 7590", at_ms=1) for number in (1, 2)]
        assert [entry.customer for entry in (await fleet.coverage(rows)).uncovered] == ["C2"]
        file = Firmware(sha256="a" * 64, oui="00040E", product_class="FRITZ", version="8.21", size_bytes=9, file_name="f", signature="none")
        await fleet.put_firmware("anna", file)
        with pytest.raises(ConflictError):
            await fleet.put_firmware("anna", file)
        assert [entry.version for entry in await fleet.firmware()] == ["8.21"]
        await fleet.want_awake("anna", found.device_id)
        assert [(sleeper.device_id, sleeper.tries, sleeper.peer_ip) for sleeper in await fleet.sleepers(5)] == [
            (found.device_id, 1, "192.0.2.1")
        ]
        assert await fleet.sleepers(5) == (), "not before a minute"
        await fleet.awake([found.device_id])

    run(database_url, tmp_path, body)


def test_a_seal_does_not_open_in_another_row(tmp_path: Path) -> None:
    async def main(box: Sealer) -> None:
        sealed = await box.seal(Secret("planted"), 1, "sip.password", "")
        assert (await box.open(sealed, 1, "sip.password", "")).equals("planted")
        assert sealed != await box.seal(Secret("planted"), 1, "sip.password", "")
        for other in ((2, "sip.password", ""), (1, "acs.password", "")):
            with pytest.raises(OperatorError, match="does not open"):
                await box.open(sealed, *other)
        with pytest.raises(OperatorError, match="format"):
            await box.open(b"\x09", 1)

    asyncio.run(main(sealer(tmp_path)))

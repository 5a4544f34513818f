"""The fleet's pages over real devices and a real archive: every figure leads on, hostile text is text, lists are not for everybody."""

import asyncio
from dataclasses import replace
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from ringfence.access.model import Role
from ringfence.base.clock import system_clock
from ringfence.base.secret import Secret
from ringfence.fleet.model import Filter, Proof
from ringfence.fleet.service import FleetService
from ringfence.protocols.cwmp.messages import ParameterValue
from ringfence.runtime.db import Database
from ringfence.subscribers.sessions.model import ReportKind, SessionReport
from ringfence.telephony.model import Kind
from ringfence.telephony.user_agents import family_of
from tests.harness.engines import NatsServer
from tests.harness.surfaces import Surfaces, form_token, sign_in, surfaces
from tests.integration.fleet.test_admit import ROOT, Feed, inform, sealer
from tests.unit.archive.test_calls import filled, row

HOSTILE = "<script>alert(1)</script>"
SECRET = "planted-secret"


def registered(account: str, user_agent: str, at_ms: int) -> Any:
    return row(Kind.REGISTRATION, at_ms, "", account=account, status_code=200, expires=300, user_agent=user_agent, started_ms=0)


async def filled_fleet(found: Surfaces, database_url: str, folder: Path, feed: Feed | None = None) -> list[int]:
    """Devices of two versions that informed; their ids."""
    now = system_clock()
    async with Database(database_url, name="acs") as db:
        fleet = FleetService(db, sealer(folder), feed, None, lambda: now)
        informs = [replace(inform(f"S{number:03d}"), at_ms=now) for number in range(30)]
        hostile = (ParameterValue(ROOT + "DeviceInfo.SoftwareVersion", HOSTILE),)
        informs += [replace(inform(f"H{HOSTILE}"), at_ms=now, proof=Proof.NONE, proven_name="", parameters=hostile)]
        devices = await fleet.admit(informs)
    await found.console.inventory.count()
    return [each.device_id for each in devices]


def test_the_overview_counts_and_leads_on(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("ben", Role.ANALYST)
            await found.person("hans", Role.HOTLINE)
            async with found.browser() as browser:
                await sign_in(browser, "ben")
                empty = (await browser.get("/fleet")).text
                assert "No device is in the field yet" in empty
                await filled_fleet(found, database_url, tmp_path)
                page = (await browser.get("/fleet")).text
                assert ">30</a>" in page
                assert HOSTILE not in page
                assert "&lt;script&gt;" in page
                assert SECRET not in page
                path = page.split('class="open" href="')[1].split('"')[0].replace("&amp;", "&")
                assert (await browser.get(path)).text.count('data-key="') == 30, "a figure leads to what it is made of"
            async with found.browser() as browser:
                await sign_in(browser, "hans")
                assert (await browser.get("/fleet")).status_code == 403
                assert 'href="/fleet"' not in (await browser.get("/devices")).text

    asyncio.run(run())


def test_coverage_lists_whom_to_work_off(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        now = system_clock()
        many = [registered(f"49301{number:04d}", "AVM FRITZ!Box 7590 154.07.57", now - 60_000) for number in range(150)]
        filled(tmp_path, *many, registered("4930999", HOSTILE, now - 60_000)).close()
        accounts = "account,customer\n4930999,=cmd\n" + "".join(f"49301{number:04d},C{number:04d}\n" for number in range(150))
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.console.subscribers.import_accounts("anna", BytesIO(accounts.encode()))
            devices = "oui,product_class,serial_number,state,line,customer\n00040E,FRITZ,S1,shipped,L1,C0001\n"
            await found.console.inventory.import_devices("anna", StringIO(devices))
            await found.person("erik", Role.ENGINEER)
            await found.person("hans", Role.HOTLINE)
            async with found.browser() as browser:
                await sign_in(browser, "erik")
                page = (await browser.get("/fleet/coverage")).text
                assert page.count('data-key="') == 100
                assert "AVM FRITZ!Box 7590" in page
                assert HOSTILE not in page
                assert "shipped" in page, "a device of the customer is known"
                assert (await browser.get("/fleet/coverage?start=100")).text.count('data-key="') == 51
                one = (await browser.get("/fleet/coverage", params={"model": family_of(HOSTILE)})).text
                assert one.count('data-key="') == 1
                token = form_token(page)
                file = await browser.post("/fleet/coverage/list.csv", data={"form_token": token, "model": ""})
                assert file.headers["content-disposition"].startswith('attachment; filename="not-managed-')
                assert len(file.text.splitlines()) == 152
                assert "\n'=cmd," in file.text, "a spreadsheet runs nothing"
                assert (await browser.post("/fleet/coverage/count", data={"form_token": token})).headers["location"] == (
                    "/fleet/coverage?said=counted"
                )
                assert ">151<" in (await browser.get("/fleet")).text
            async with found.browser() as browser:
                await sign_in(browser, "hans")
                assert (await browser.get("/fleet/coverage")).status_code == 403
            (entry,) = await found.access.audit_entries(found.chief, action="export_coverage")
            assert (entry.actor, entry.detail["customers"]) == ("erik", 151)

    asyncio.run(run())


def test_coverage_without_a_registration(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("erik", Role.ENGINEER)
            async with found.browser() as browser:
                await sign_in(browser, "erik")
                assert "No phone registered in the last 31 days" in (await browser.get("/fleet/coverage")).text

    asyncio.run(run())


def test_a_replacement_is_verified_once_and_by_who_may(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        now = system_clock()
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("erik", Role.ENGINEER)
            await found.person("ben", Role.ANALYST)
            console = found.console
            async with found.browser() as browser:
                await sign_in(browser, "ben")
                assert "Nothing waits" in (await browser.get("/fleet/replacements")).text
            await console.inventory.import_devices(
                "anna", StringIO("oui,product_class,serial_number,state,line,customer\n00040E,FRITZ,OLD1,shipped,L1,C1\n")
            )
            (old,) = await console.inventory.page(Filter(line="L1"))
            await console.inventory.put_secret("anna", old.device_id, "sip.password", Secret(SECRET))
            start = SessionReport(
                kind=ReportKind.START, nas="n1", at_ms=now - 60_000, session_id="s1", prefixes=("192.0.2.1/32",), line="L1"
            )
            await console.subscribers.record([start])
            async with Database(database_url, name="acs") as db:
                fleet = FleetService(db, sealer(tmp_path), console.subscribers.lines_at, None, lambda: now)
                (new,) = await fleet.admit([replace(inform("NEW1"), at_ms=now)])
            async with found.browser() as browser:
                await sign_in(browser, "ben")
                page = (await browser.get("/fleet/replacements")).text
                assert "NEW1" in page
                assert "OLD1" in page
                assert "another device belongs to this line" in page
                assert f'href="/fleet/replacements/{new.device_id}"' not in page, "an analyst does not verify"
                token = form_token((await browser.get("/me")).text)
                path = f"/fleet/replacements/{new.device_id}"
                assert (await browser.post(f"{path}/verify", data={"form_token": token, "line": "L1"})).status_code == 403
            async with found.browser() as browser:
                await sign_in(browser, "erik")
                asked = (await browser.get(path)).text
                assert 'value="L1"' in asked
                assert "sip.password" in asked, "it says which secrets move"
                assert SECRET not in asked
                data = {"form_token": form_token(asked), "line": "L1", "closes": str(old.device_id)}
                assert (await browser.post(f"{path}/verify", data=data | {"closes": ""})).status_code == 409, "others than the page showed"
                other = (await browser.get(f"{path}?line=L2")).text
                assert "not the line it informed from" in other
                assert "Nobody" in other
                answer = await browser.post(f"{path}/verify", data=data)
                assert answer.headers["location"] == f"/devices/{new.device_id}?said=verified"
                assert (await browser.post(f"{path}/verify", data=data)).status_code == 409, "once"
                assert (await browser.get("/fleet/replacements/999")).status_code == 404
            (closed,) = await console.inventory.page(Filter(serial="OLD1"))
            assert (closed.life, closed.replaced_by) == ("replaced", new.device_id)
            (entry,) = await found.access.audit_entries(found.chief, action="verify_device")
            assert (entry.actor, entry.subject, entry.detail) == ("erik", "NEW1", {"line": "L1", "closed": 1})

    asyncio.run(run())


def test_one_field_finds_devices_and_customers(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            console = found.console
            await console.subscribers.import_customers("anna", BytesIO(f"customer,name\nC1,Müller {HOSTILE}\nC2,Meier\n".encode()))
            await console.subscribers.import_lines("anna", BytesIO(b"line,customer,access_node\nL1,C1,dslam-7\n"))
            await console.subscribers.import_accounts("anna", BytesIO(b"account,customer\n4930123456,C1\n"))
            await console.inventory.import_devices(
                "anna", StringIO("oui,product_class,serial_number,state,line,customer\n00040E,FRITZ,SER1,shipped,L1,\n")
            )
            await found.person("hans", Role.HOTLINE)
            async with found.browser() as browser:
                await sign_in(browser, "hans")
                assert 'action="/search"' in (await browser.get("/me")).text, "from every page"
                for text, expected in (
                    ("SER1", "/devices/"),
                    ("+4930123456", "/accounts/4930123456"),
                    ("müll", "/customers/C1"),
                    ("C10", "Nothing begins with"),
                    ("x", "Search for 3 to 200"),
                    ("%%%", "Nothing begins with"),
                ):
                    page = await browser.get("/search", params={"text": text})
                    assert page.status_code == 200, text
                    assert expected in page.text, text
                    assert HOSTILE not in page.text
                assert "SER1" in (await browser.get("/find/anything?text=SER1")).text
                customer = (await browser.get("/customers/C1")).text
                for part in ("Müller", "dslam-7", "4930123456", "SER1"):
                    assert part in customer
                assert HOSTILE not in customer
                assert "Calls" not in customer.split('id="main"')[1], "no call detail for the hotline"
                assert (await browser.get("/customers/nobody")).status_code == 404

    asyncio.run(run())


def test_stock_is_imported_with_a_report(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("erik", Role.ENGINEER)
            await found.person("ben", Role.ANALYST)
            async with found.browser() as browser:
                await sign_in(browser, "erik")
                page = (await browser.get("/fleet/stock")).text
                assert "No device is in stock." in page
                token = form_token(page)
                rows = "".join(f"00040E,FRITZ,T{number:03d},\n" for number in range(130))
                text = f"oui,product_class,serial_number,state\n{rows}00040E,FRITZ,S1,shipped\nnope,{HOSTILE},x,\n"
                done = await browser.post("/fleet/stock", data={"form_token": token, "list": text})
                assert "132 rows read" in done.text
                assert "131 added" in done.text
                assert "Line 133:" in done.text
                assert HOSTILE not in done.text
                assert done.text.split("<tbody")[1].count('data-key="') == 100
                after = done.text.split("after=")[1].split('"')[0]
                assert (await browser.get(f"/fleet/stock?after={after}")).text.count('data-key="') == 30
                assert (await browser.get("/fleet/stock?state=shipped")).text.count('data-key="') == 1
                assert (await browser.get("/fleet/stock", params={"model": "00040E FRITZ"})).text.count('data-key="') == 100
                assert "No device is in stock of this model" in (await browser.get("/fleet/stock?model=000000+x")).text
                refused = await browser.post("/fleet/stock", data={"form_token": token, "list": "serial\n1\n"})
                assert refused.status_code == 422
                assert "must name the columns" in refused.text
                (entry,) = await found.access.audit_entries(found.chief, action="import_devices")
                assert entry.detail["added"] == 131
            async with found.browser() as browser:
                await sign_in(browser, "ben")
                theirs = (await browser.get("/fleet/stock")).text
                assert "Add devices" not in theirs
                token = form_token((await browser.get("/me")).text)
                assert (await browser.post("/fleet/stock", data={"form_token": token, "list": text})).status_code == 403

    asyncio.run(run())


def test_versions_over_time_and_who_was_refused(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await filled_fleet(found, database_url, tmp_path)
            await found.console.inventory.count_versions()
            async with Database(database_url, name="acs") as db:
                now = system_clock()
                fleet = FleetService(db, sealer(tmp_path), None, None, lambda: now)
                await fleet.admit([replace(inform("S001"), at_ms=now, proven_name=f"00040E-{HOSTILE}")] * 3)
            await found.person("ben", Role.ANALYST)
            async with found.browser() as browser:
                await sign_in(browser, "ben")
                page = (await browser.get("/fleet")).text
                assert "8.20: 30</title>" in page
                assert "&lt;script&gt;alert(1)&lt;/script&gt;: 1</title>" in page
                assert 'class="value">1</span><span class="note">false or closed identities' in page
                refused = (await browser.get("/fleet/replacements")).text
                assert "another device&#39;s" in refused
                assert HOSTILE not in refused
                assert SECRET not in page + refused

    asyncio.run(run())


def test_groups_are_kept_refused_and_removed_and_drift_is_shown(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await filled_fleet(found, database_url, tmp_path)
            inventory = found.console.inventory
            await found.person("erik", Role.ENGINEER)
            await found.person("ben", Role.ANALYST)
            async with found.browser() as browser:
                await sign_in(browser, "erik")
                assert "Nothing is wanted of groups yet" in (await browser.get("/fleet/drift")).text
                assert "No group yet" in (await browser.get("/fleet/groups")).text
                form = (await browser.get("/fleet/groups/edit")).text
                entry = {"form_token": form_token(form), "fresh": "1", "name": "slow", "product_class": "FRITZ", "rank": "5"}
                for wishes, sentence in (
                    ("acs.enable_cwmp = false", "EnableCWMP=false locks the ACS out"),
                    ("acs.url = http://evil.example", "is not a host of this ACS"),
                    ("wlan.security 1.1 = wep", "WEP and open networks"),
                    (f"sip.password = {SECRET}", "belongs to one device"),
                    ("what is this", "line 1 is no wish"),
                    (f"{HOSTILE} = 1", "line 1 is no wish"),
                ):
                    refused = await browser.post("/fleet/groups", data=entry | {"wishes": wishes})
                    assert refused.status_code == 422, wishes
                    assert sentence in refused.text.replace("Line 1", "line 1"), wishes
                    assert HOSTILE not in refused.text
                    assert 'value="FRITZ"' in refused.text, "the form comes back as it was typed"
                kept = await browser.post("/fleet/groups", data=entry | {"wishes": "acs.inform_interval = 3600\n\n"})
                assert kept.headers["location"] == "/fleet/groups?said=group"
                again = await browser.post("/fleet/groups", data=entry | {"wishes": ""})
                assert "a group of this name already" in again.text
                assert "acs.inform_interval = 3600" in (await browser.get("/fleet/groups/edit?name=slow")).text
                assert (await browser.get("/fleet/groups/edit?name=none")).status_code == 404
                await inventory.compare(0)
                drift = (await browser.get("/fleet/drift")).text
                assert drift.count('data-key="') == 31
                assert HOSTILE not in drift
                assert "PeriodicInformInterval" in (await browser.get("/fleet/drift?group=slow")).text
                assert "as wanted." in (await browser.get("/fleet/drift?group=other")).text
                data = {"form_token": entry["form_token"], "name": "slow"}
                assert (await browser.post("/fleet/groups/remove", data=data)).headers["location"] == "/fleet/groups?said=group_removed"
                assert (await browser.post("/fleet/groups/remove", data=data)).status_code == 404
            async with found.browser() as browser:
                await sign_in(browser, "ben")
                assert "New group" not in (await browser.get("/fleet/groups")).text
                assert (await browser.get("/fleet/groups/edit")).status_code == 403
            actions = {each.action for each in await found.access.audit_entries(found.chief, by="erik")}
            assert {"put_group", "remove_group"} <= actions

    asyncio.run(run())

"""One device's page and what is done there: orders, secrets, labels, sessions, and who may do it."""

import asyncio
from dataclasses import replace
from io import StringIO
from pathlib import Path

from ringfence.access.model import Role
from ringfence.base.clock import system_clock
from ringfence.fleet.desired import Group, Wish
from ringfence.fleet.model import Filter, SessionDone
from ringfence.fleet.service import FleetService
from ringfence.runtime.db import Database
from ringfence.subscribers.sessions.model import ReportKind, SessionReport
from tests.harness.engines import NatsServer
from tests.harness.surfaces import Surfaces, form_token, sign_in, surfaces
from tests.integration.fleet.test_admit import inform, sealer

SECRET = "planted-secret"
HOSTILE = "<img src=x onerror=alert(1)>"
TRANSCRIPT = (
    "device: Inform 1 BOOT",
    "  InternetGatewayDevice.DeviceInfo.SoftwareVersion = 8.20",
    f"device: Fault 9007 Invalid parameter value ({HOSTILE})",
)


async def _device(found: Surfaces, database_url: str, folder: Path) -> int:
    """A managed device on its line, with a session behind it."""
    now, console = system_clock(), found.console
    listed = "oui,product_class,serial_number,state,line,customer\n00040E,FRITZ,S1,shipped,L1,C1\n"
    await console.inventory.import_devices("anna", StringIO(listed))
    start = SessionReport(kind=ReportKind.START, nas="n1", at_ms=now - 60_000, session_id="s1", prefixes=("192.0.2.1/32",), line="L1")
    await console.subscribers.record([start])
    async with Database(database_url, name="acs") as db:
        fleet = FleetService(db, sealer(folder), console.subscribers.lines_at, None, lambda: now)
        (device,) = await fleet.admit([replace(inform("S1"), at_ms=now)])
        await fleet.settle([SessionDone(device_id=device.device_id, session_id="x1", work=None, at_ms=now, transcript=TRANSCRIPT)])
    return device.device_id


def test_what_an_engineer_does_and_nobody_else(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            device_id = await _device(found, database_url, tmp_path)
            inventory, path = found.console.inventory, f"/devices/{device_id}"
            group = Group(name="berlin", rank=1, label="lab", wishes=(Wish(meaning="acs.inform_interval", value="777"),))
            await inventory.put_group("anna", group, frozenset())
            for name, role in (("erik", Role.ENGINEER), ("ben", Role.ANALYST), ("hans", Role.HOTLINE)):
                await found.person(name, role)
            async with found.browser() as browser:
                await sign_in(browser, "erik")
                token = form_token((await browser.get(path)).text)

                async def act(what: str, **data: str) -> int:
                    return (await browser.post(f"{path}/{what}", data={"form_token": token, **data})).status_code

                assert await act("orders", method="Reboot") == 303
                assert await act("orders", method="Reboot") == 409, "the same order waits"
                assert await act("orders", method="FactoryReset") == 303
                assert await act("orders", method="Download") == 422
                assert await act("orders", method="Download", sha256="0" * 64) == 404
                assert await act("orders", method="Upload") == 422
                assert await act("secret", meaning="sip.password", secret=SECRET) == 303
                assert await act("secret", meaning="acs.inform_interval", secret=SECRET) == 422
                assert await act("secret", meaning="sip.password", secret="") == 422
                assert await act("place", region="berlin", labels="lab, blue") == 303
                assert await act("place", region="berlin", labels="<b>") == 422
                assert await act("behind", mac="00:04:0E:00:00:01", name=HOSTILE, kind="repeater") == 303
                assert await act("behind", mac="nothing", name="", kind="host") == 422
                assert await act("discover") == 303
                assert await act("stops/lift", name="nothing") == 404
                assert await act("life", life="shipped") == 409
                page = (await browser.get(path)).text
                assert HOSTILE not in page
                assert SECRET not in page
                for part in (
                    "Reboot",
                    "FactoryReset",
                    "write-only",
                    "berlin",
                    "blue",
                    "777",
                    "9007 Invalid",
                    "192.0.2.1/32",
                    "1 fault",
                ):
                    assert part in page, part
                (reboot,) = [each for each in (await inventory.orders(device_id)).wanted if each.method == "Reboot"]
                assert await act(f"orders/{reboot.wanted_id}/cancel") == 303
                assert await act(f"orders/{reboot.wanted_id}/cancel") == 409
                assert await act("orders/x/cancel") == 404
                assert await act("life", life="lost") == 303
            (device,) = await inventory.page(Filter(serial="S1"))
            assert (device.region, device.labels, device.life) == ("berlin", ("blue", "lab"), "lost")
            actions = {entry.action for entry in await found.access.audit_entries(found.chief, by="erik", limit=100)}
            assert {
                "want_order",
                "cancel_order",
                "put_secret",
                "place_device",
                "put_behind",
                "set_device_life",
                "discover_device",
            } <= actions
            for name in ("ben", "hans"):
                async with found.browser() as browser:
                    await sign_in(browser, name)
                    theirs = (await browser.get(path)).text
                    assert "Restart it" not in theirs
                    assert "Set a secret" not in theirs
                    assert "sessions-title" not in theirs
                    token = form_token((await browser.get("/me")).text)
                    for what in ("orders", "secret", "place", "life", "discover", "stops/lift", "behind"):
                        assert await act(what) == 403, what

    asyncio.run(run())

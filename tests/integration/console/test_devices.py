"""The fleet as people see it: a device from its Inform to its page, search, waking, and no secret anywhere."""

import asyncio
from dataclasses import replace
from pathlib import Path

from ringfence.access.model import Role
from ringfence.base.clock import system_clock
from ringfence.fleet.service import FleetService
from ringfence.protocols.cwmp.messages import ParameterValue
from ringfence.runtime.db import Database
from tests.harness.engines import NatsServer
from tests.harness.surfaces import form_token, sign_in, surfaces
from tests.integration.fleet.test_admit import ROOT, inform, sealer


def test_a_device_from_its_inform_to_its_page(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        now = system_clock()
        async with surfaces(database_url, own_nats, tmp_path) as found:
            async with Database(database_url, name="acs") as db:
                fleet = FleetService(db, sealer(tmp_path), None, None, lambda: now)
                more = (ParameterValue(ROOT + "DeviceInfo.X_Note", "<b>kitchen</b>"),)
                informs = [replace(inform(f"S{number:03d}"), at_ms=now) for number in range(120)]
                informs[7] = replace(informs[7], parameters=informs[7].parameters + more)
                devices = await fleet.admit(informs)
            await found.console.inventory.count()
            await found.person("anna", Role.ENGINEER)
            await found.person("hans", Role.HOTLINE)
            await found.person("ben", Role.ANALYST)
            async with found.browser() as browser:
                await sign_in(browser, "anna")
                page = (await browser.get("/devices")).text
                assert page.count('data-key="') == 100
                assert "120</a>" in (await browser.get("/fleet")).text, "every device of the version is counted"
                after = page.split("after=")[1].split('"')[0]
                assert (await browser.get(f"/devices?after={after}")).text.count('data-key="') == 20
                found_one = (await browser.get("/devices?text=S007")).text
                assert found_one.count('data-key="') == 1
                assert "No device fits" in (await browser.get("/devices?text=%25")).text, "what a person types is no pattern"
                path = f"/devices/{devices[7].device_id}"
                assert f'href="{path}"' in found_one
                device = (await browser.get(path)).text
                assert "8.20" in device
                assert "&lt;b&gt;kitchen" in device
                assert "planted-secret" not in device
                assert (
                    "X_Note" not in (await browser.get(f"{path}?text=SoftwareVersion")).text.split("</form>")[1].split("history-title")[0]
                )
                answer = await browser.post(f"{path}/wake", data={"form_token": form_token(device)})
                assert answer.headers["location"] == f"{path}?said=wake"
                assert [each.device_id for each in await found.console.inventory.sleepers(10)] == [devices[7].device_id]
                for nobody in ("/devices/0", "/devices/999999", "/devices/99999999999999999999", "/devices/abc"):
                    assert (await browser.get(nobody)).status_code == 404, nobody
            async with found.browser() as browser:
                await sign_in(browser, "hans")
                theirs = (await browser.get(path)).text
                assert "Wake it now" in theirs
                assert "sessions-title" not in theirs
            async with found.browser() as browser:
                await sign_in(browser, "ben")
                seen = (await browser.get(path)).text
                assert "Wake it now" not in seen
                assert (
                    await browser.post(f"{path}/wake", data={"form_token": form_token((await browser.get("/me")).text)})
                ).status_code == 403

    asyncio.run(run())

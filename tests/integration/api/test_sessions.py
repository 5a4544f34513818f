"""Access sessions through the API: leases are imported with a report, look-ups are audited."""

import asyncio
from pathlib import Path

from ringfence.access.model import Role
from tests.harness.engines import NatsServer
from tests.harness.surfaces import surfaces

CSV = {"Content-Type": "text/csv"}
LEASES = """address,line,from,to,access_node,server
192.0.2.1,DSLAM-17 atm 1/1/03:1.32,2026-05-01T12:00:00Z,2026-05-01T13:00:00Z,DSLAM-17,kea-1
192.0.2.1,L2,2026-05-01T12:30:00Z,,,kea-1
2001:db8:1::/56,L2,2026-05-01T12:30:00Z,,,kea-1
"""


def test_leases_are_imported_and_found(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("root", Role.ADMINISTRATOR)
            await found.person("hanna", Role.HOTLINE)
            async with found.program(await found.token("root")) as program:
                report = (await program.post("/v1/sessions/import", content=LEASES.encode(), headers=CSV)).json()
                assert (report["kind"], report["rows"], report["added"], report["same"], report["bad"]) == ("sessions", 3, 3, 0, 0)
                report = (await program.post("/v1/sessions/import", content=LEASES.encode(), headers=CSV)).json()
                assert (report["added"], report["changed"], report["same"]) == (0, 0, 3)
                refused = await program.post(
                    "/v1/sessions/import", content=LEASES.encode() + b"192.0.2.0/24,L3,1790000000,,,\n", headers=CSV
                )
                assert (refused.status_code, refused.json()["error"]["reason"]) == (422, "too_many_bad_rows")

                held = (await program.get("/v1/sessions", params={"address": "192.0.2.1"})).json()
                assert [(each["line"], each["started_at"], each["ended_at"], each["ended_by"]) for each in held] == [
                    ("L2", "2026-05-01T12:30:00Z", None, ""),
                    ("DSLAM-17 atm 1/1/03:1.32", "2026-05-01T12:00:00Z", "2026-05-01T12:30:00Z", "taken"),
                ]
                inside = (await program.get("/v1/sessions", params={"address": "2001:db8:1:42::1"})).json()
                assert [(each["prefix"], each["line"], each["nas"]) for each in inside] == [("2001:db8:1::/56", "L2", "dhcp:kea-1")]
                before = {"line": "L2", "before": "2026-05-01T12:30:00Z"}
                assert (await program.get("/v1/sessions", params=before)).json() == []
                assert len((await program.get("/v1/sessions", params={"line": "L2"})).json()) == 2
                assert (await program.get("/v1/sessions")).status_code == 422
                assert (await program.get("/v1/sessions", params={"address": "nowhere"})).status_code == 400
                looked = (await program.get("/v1/audit", params={"action": "show_sessions"})).json()
                assert [(entry["actor"], entry["subject"]) for entry in looked][-1] == ("root", "192.0.2.1")
            async with found.program(await found.token("hanna")) as program:
                assert (await program.post("/v1/sessions/import", content=LEASES.encode(), headers=CSV)).status_code == 403

    asyncio.run(run())

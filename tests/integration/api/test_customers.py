"""Customers, lines and contacts through the API: imported with a report, found, closed, audited, and read by the hotline."""

import asyncio
import io
from pathlib import Path

from ringfence.access.model import Role
from tests.harness.engines import NatsServer
from tests.harness.surfaces import surfaces

CSV = {"Content-Type": "text/csv"}


def test_a_customer_is_imported_found_and_closed(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("root", Role.ADMINISTRATOR)
            async with found.program(await found.token("root")) as program:
                for path, text in (
                    ("customers", "customer,name,segment\nK/100,Anna Müller,\nK/101,Otto,business\n"),
                    ("lines", "line,customer,access_node,region\nDSL-7,K/100,olt-3,north\n"),
                    ("contacts", "customer,kind,value\nK/100,mail,anna@example.net\n"),
                    ("accounts", "account,customer,line\n493012345678,K/100,DSL-7\n"),
                ):
                    report = (await program.post(f"/v1/{path}/import", content=text.encode(), headers=CSV)).json()
                    assert (report["kind"], report["added"], report["bad"]) == (path, text.count("\n") - 1, 0)
                again = await program.post("/v1/customers/import", content=b"customer,name\nK/100,Anna Maier\nK/101,Otto\n", headers=CSV)
                assert (again.json()["changed_fields"], again.json()["same"]) == ({"name": 1}, 1)
                assert again.json()["examples"] == [{"key": "K/100", "difference": "changed", "fields": ["name"]}]

                customer = (await program.get("/v1/customers/K%2F100")).json()
                assert (customer["name"], customer["lines"][0]["line"], customer["contacts"]) == (
                    "Anna Maier", "DSL-7", [{"kind": "mail", "value": "anna@example.net"}],
                )  # fmt: skip
                assert customer["accounts"] == [{"account": "493012345678", "segment": "residential", "channels": 1, "line": "DSL-7"}]
                assert (await program.get("/v1/accounts/493012345678")).json()["line"] == "DSL-7"

                hits = (await program.get("/v1/customers/search", params={"text": "+49 30 12345678"})).json()
                assert hits == [{"by": "account", "value": "493012345678", "customer": "K/100", "name": "Anna Maier", "line": "DSL-7"}]
                refused = await program.get("/v1/customers/search", params={"text": "K"})
                assert (refused.status_code, refused.json()["error"]["reason"]) == (422, "bad_search")

                page = (await program.get("/v1/customers", params={"limit": 1})).json()
                assert (page["customers"][0]["customer"], page["next"]) == ("K/100", "K/100")
                rest = (await program.get("/v1/customers", params={"after": page["next"]})).json()
                assert ([each["customer"] for each in rest["customers"]], rest["next"]) == (["K/101"], "")
                lines = (await program.get("/v1/lines", params={"customer": "K/100"})).json()
                assert [line["line"] for line in lines["lines"]] == ["DSL-7"]

                assert (await program.post("/v1/customers/K%2F100/remove")).json() == {"closed": "K/100"}
                assert (await program.post("/v1/customers/K%2F100/remove")).status_code == 404
                assert (await program.post("/v1/lines/DSL-7/remove")).json() == {"closed": "DSL-7"}
                assert (await program.get("/v1/lines/DSL-7")).json()["removed"] is True
                assert (await program.get("/v1/lines/nowhere")).status_code == 404
                assert (await program.get("/v1/customers/nobody")).status_code == 404
                for action, subject in (("import_contacts", None), ("remove_customer", "K/100"), ("remove_line", "DSL-7")):
                    (entry,) = (await program.get("/v1/audit", params={"action": action})).json()
                    assert entry["actor"] == "root"
                    assert subject in {None, entry["subject"]}

    asyncio.run(run())


def test_the_hotline_finds_one_customer_and_gets_no_list(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("hanna", Role.HOTLINE)
            await found.api.subscribers.import_customers("root", io.BytesIO(b"customer,name\nK-1,Anna\n"))
            async with found.program(await found.token("hanna")) as program:
                assert (await program.get("/v1/customers/search", params={"text": "anna"})).json()[0]["customer"] == "K-1"
                assert (await program.get("/v1/customers/K-1")).json()["name"] == "Anna"
                for method, path in (
                    ("GET", "customers"),
                    ("POST", "customers/import"),
                    ("POST", "customers/K-1/remove"),
                    ("GET", "calls"),
                ):
                    assert (await program.request(method, f"/v1/{path}")).status_code == 403, path

    asyncio.run(run())

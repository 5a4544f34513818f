"""Every route of the API, tried without its permission; errors in one form; orders that reach a real policy."""

import asyncio
import re
from pathlib import Path

import pytest

from ringfence.access.model import ROLE_PERMISSIONS, Role
from ringfence.apps.api.app import build_app
from ringfence.apps.api.routing import Open, declared
from ringfence.apps.cli.client import Api
from ringfence.base.clock import system_clock
from ringfence.base.errors import UnavailableError
from ringfence.enforcement.agent import PolicyAgent, settings_for
from ringfence.enforcement.model import HOUR_MS, MINUTE_MS
from ringfence.runtime.status import StatusBoard
from tests.harness.engines import NatsServer, free_port
from tests.harness.surfaces import surfaces


def test_every_route_refuses_without_its_permission(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("hotline", Role.HOTLINE)
            fresh = await found.person("fresh", Role.ADMINISTRATOR, change=False)
            routes = declared(build_app(found.api))
            assert len(routes) > 30
            tokens = {
                "": 401,
                "nonsense": 401,
                "rf_nonsense": 401,
                await found.token("fresh", fresh): 403,
                await found.token("hotline"): 403,
            }
            for token, expected in tokens.items():
                async with found.program(token) as program:
                    for method, path, need in routes:
                        hotline_may = expected == 403 and need in ROLE_PERMISSIONS[Role.HOTLINE]
                        if isinstance(need, Open) or hotline_may:
                            continue
                        address = re.sub(r"\{[^}]+\}", "1", path)
                        answer = await program.request(method, address, json={} if method in {"POST", "PUT"} else None)
                        # Validation must not come before permission: it would tell a stranger what exists.
                        assert answer.status_code == expected, f"{method} {path} answered {answer.status_code}"
                        assert set(answer.json()["error"]) == {"kind", "reason", "message"}
            async with found.program(await found.token("fresh", fresh)) as program:
                assert (await program.get("/v1/accounts/1")).status_code == 403

    asyncio.run(run())


def test_openapi_names_every_permission(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found, found.program() as program:
            document = (await program.get("/v1/openapi.json")).json()
            assert document["openapi"].startswith("3.1")
            for path, methods in document["paths"].items():
                for method, route in methods.items():
                    assert route["x-permission"], f"{method} {path}"
            assert [name for name in document["components"]["schemas"] if "__" in name] == [], "two models of one name"

    asyncio.run(run())


def test_block_dry_run_lift_and_errors(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("anna", Role.LEAD)
            async with found.program(await found.token("anna")) as program:
                order = {"scope": "number", "value": "+23276123456", "reason": "seen in three accounts tonight"}
                away = await program.post("/v1/blocks", json=order)
                assert (away.status_code, away.json()["error"]["kind"]) == (503, "unavailable")
                settings = settings_for(
                    country="DE", area_codes=("30",), emergency=("110", "112"), first_ms=60 * MINUTE_MS, second_ms=24 * HOUR_MS
                )
                agent = PolicyAgent(found.bus, settings, instance="i-test", clock=system_clock, board=StatusBoard("policy", "i-test"))
                running = asyncio.ensure_future(agent.run())
                try:
                    await asyncio.wait_for(agent.ready(), 10)
                    for _ in range(100):
                        tried = await program.post("/v1/blocks", json=order | {"dry_run": True})
                        made = await program.post("/v1/blocks", json=order)
                        if made.status_code == 200:
                            break
                        await asyncio.sleep(0.1)
                    assert tried.json()["dry_run"] == {"calls": 0, "accounts": 0, "examples": []}
                    block_id = made.json()["block_id"]
                    shorter = await program.post("/v1/blocks", json=order | {"hours": 1})
                    assert shorter.json()["error"]["kind"] == "conflict"
                    emergency = await program.post("/v1/blocks", json=order | {"scope": "number", "value": "+49112"})
                    assert emergency.status_code == 422
                    while block_id not in found.api.board.blocks:
                        await asyncio.sleep(0.02)
                    assert [block["value"] for block in (await program.get("/v1/blocks")).json()["blocks"]] == ["23276123456"]
                    lifted = await program.post(f"/v1/blocks/{block_id}/lift", json={"reason": "a test of our own"})
                    assert lifted.json()["message"] == "lifted"
                    again = await program.post(f"/v1/blocks/{block_id}/lift", json={"reason": "a test of our own"})
                    assert again.status_code == 409
                finally:
                    running.cancel()
                    await asyncio.gather(running, return_exceptions=True)
                unknown = await program.post("/v1/blocks", json=order | {"surprise": 1})
                assert unknown.json()["error"]["reason"] == "bad_request"

    asyncio.run(run())


def test_an_import_is_bounded_and_reported(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("root", Role.ADMINISTRATOR)
            async with found.program(await found.token("root")) as program:
                csv = b"account,customer\n49301,K-1\n49302,K-2\n"
                report = (await program.post("/v1/accounts/import", content=csv, headers={"Content-Type": "text/csv"})).json()
                assert (report["rows"], report["added"], report["bad"]) == (2, 2, 0)
                known = (await program.get("/v1/accounts/49301")).json()
                assert (known["customer"], known["known"], known["blocked"]) == ("K-1", True, False)
                long = await program.post("/v1/rules", json={"toml": "x" * 2_000_000})
                assert long.status_code == 413
                assert long.json()["error"] == {
                    "kind": "operator",
                    "reason": "http_413",
                    "message": "this body is longer than the route takes; send less, or in several requests",
                }
                assert long.headers["X-Content-Type-Options"] == "nosniff"
                audit = (await program.get("/v1/audit", params={"action": "import_accounts"})).json()
                assert [entry["actor"] for entry in audit] == ["root"]

    asyncio.run(run())


def test_an_api_that_is_away_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="does not answer"):
        Api(f"http://127.0.0.1:{free_port()}", "secret").get("/alerts")

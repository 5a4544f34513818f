"""Composed rules through the API: kept, looked at, asked for, put in force, retired; labels."""

import asyncio
import io
from pathlib import Path

from ringfence.access.model import Role
from ringfence.archive import batches
from ringfence.archive.writer import ArchiveWriter, LogEntry
from ringfence.base.clock import system_clock
from ringfence.detection.model import Alert, Evidence, Subject, encode_alert
from ringfence.telephony.columns import batch_of
from ringfence.telephony.model import AccountRow, Kind, account_key_of, call_key_of, country_code
from tests.harness.engines import NatsServer
from tests.harness.surfaces import surfaces

TEXT = '[rule.night]\ntitle = "Night"\nwhere = [{ field = "country", is = "SL" }]\ncount = "calls"\nper = "account"\nwindow = "10 min"\nact = 2\n'


def fill(folder: Path, accounts: int) -> None:
    now = system_clock() - 3_600_000
    rows = [
        AccountRow(
            kind=int(Kind.CALL), at_ms=now + call * 1000, received_ms=now + 60_000, account=f"a{account}",
            account_key=account_key_of(b"test", f"a{account}", keyed=True), call_id=f"{account}-{call}", call_key=call_key_of(b"k", f"{account}-{call}"),
            callee="+23277000111", range_key=7, country=country_code("SL"), destination_class=4, rate=600_000, started_ms=now + call * 1000,
            answered_ms=now + call * 1000, ended_ms=now + call * 1000 + 60_000,
        )
        for account in range(accounts)
        for call in range(2 if account == 0 else 1)
    ]  # fmt: skip
    ArchiveWriter(folder).write([LogEntry(1, now + 60_000, "rows", batches.encode(batch_of(rows)))])


def test_a_rule_that_alerts_on_many_asks_first_and_one_that_does_not_goes_on(
    database_url: str, own_nats: NatsServer, tmp_path: Path
) -> None:
    fill(tmp_path, accounts=20)

    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("anna", Role.ANALYST)
            await found.person("lea", Role.LEAD)
            async with found.program(await found.token("anna")) as anna, found.program(await found.token("lea")) as lea:
                saved = await anna.post("/v1/composed-rules", json={"toml": TEXT, "note": "seen on Saturday"})
                assert (saved.status_code, saved.json()) == (201, [{"rule_id": "X-night", "version": 1}])
                seen = (await anna.post("/v1/composed-rules/X-night/preview", json={})).json()
                assert (seen["alerts"], seen["accounts"], seen["all_accounts"], seen["asks"]) == (1, 1, 20, True)
                assert seen["examples"][0]["reason"] == "Night: 2 calls for a0 within 10 min (limit 2)."
                asked = await anna.post("/v1/composed-rules/X-night/probation", json={})
                assert (asked.status_code, asked.json()["error"]["reason"]) == (409, "rule_asks")
                assert "1 alerts on 1 of 20 accounts (5.00%)" in asked.json()["error"]["message"]
                tried = await anna.post("/v1/composed-rules/X-night/probation", json={"confirm": True})
                assert (tried.status_code, tried.json()["state"], tried.json()["version"]) == (200, "probation", 1)
                assert (await anna.post("/v1/composed-rules/X-night/activate", json={"confirm": True})).status_code == 403
                assert (await lea.post("/v1/composed-rules/X-night/activate", json={"confirm": True})).json()["state"] == "active"
                assert (await lea.post("/v1/composed-rules/X-night/activate", json={"confirm": True})).status_code == 409
                assert (await anna.post("/v1/composed-rules/X-night/retire", json={})).json()["state"] == "retired"
                whole = (await anna.get("/v1/composed-rules/X-night")).json()
                assert [step["state"] for step in whole["steps"]] == ["retired", "active", "probation"]
                assert whole["steps"][1]["note"].endswith("confirmed")
                assert [rule["rule_id"] for rule in (await anna.get("/v1/composed-rules")).json()] == ["X-night"]
                assert (await anna.get("/v1/labels")).json() == []

                told = Alert(
                    alert_id="a-1", step=1, state="open", at="2026-11-22T03:04:05.678Z", rule="X-night", rule_version=1, severity="info",
                    subject=Subject(kind="account", value="a0"), account="a0", score=40, cost_eur=1.0, reason="Night",
                    evidence=Evidence(calls=(), thresholds={}, observed={}),
                )  # fmt: skip
                await found.api.detection.record_alert(encode_alert(told), 1)
                listed = await anna.get("/v1/alerts", params={"state": "all", "rule": "x-Night"})
                assert [alert["rule"] for alert in listed.json()["alerts"]] == ["X-night"]

                csv = io.BytesIO(b"account\n" + b"".join(b"b%d\n" % number for number in range(1_100)))
                await found.api.subscribers.import_accounts("anna", csv)
                again = await anna.post("/v1/composed-rules/X-night/probation", json={})
                assert (again.status_code, again.json()["state"]) == (200, "probation"), "one in 1,100 does not ask"

                wrong = await anna.post("/v1/composed-rules/preview", json={"toml": TEXT.replace("act = 2", "act = -2")})
                assert (wrong.status_code, wrong.json()["error"]["reason"]) == (422, "negative_limit")
                assert wrong.json()["error"]["message"].startswith("line 7 of the rules")
                for path in ("retire", "preview", "probation"):
                    assert (await anna.post(f"/v1/composed-rules/X-none/{path}", json={})).status_code == 404
            names = [entry.action for entry in await found.access.audit_entries(found.chief)]
            assert {"save_composed_rule", "put_composed_rule", "retire_composed_rule"} <= set(names)

    asyncio.run(run())

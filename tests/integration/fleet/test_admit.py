"""Batches of Informs on a real PostgreSQL: who is bound, who gets nothing, and what is written."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ringfence.base.secret import Secret
from ringfence.fleet.adapters import FileKeys, Sealer
from ringfence.fleet.binding import Rules
from ringfence.fleet.desired import Group, Wish
from ringfence.fleet.lifecycle import Life
from ringfence.fleet.model import InformSeen, Lane, LineSeen, Proof, SessionDone, Standing
from ringfence.fleet.service import FleetService
from ringfence.fleet.strangers import Strangers
from ringfence.protocols.cwmp.messages import DeviceId, Event, ParameterValue
from ringfence.runtime.db import Database
from ringfence.runtime.keys import ensure_key

NOW = 1_790_000_000_000
ROOT = "InternetGatewayDevice."


def sealer(folder: Path) -> Sealer:
    ensure_key(folder / "fleet.key")
    return Sealer(FileKeys(folder / "fleet.key"))


@dataclass
class Feed:
    """Who holds which address."""

    held: Mapping[str, LineSeen]

    async def __call__(self, addresses: Sequence[str], at_ms: int) -> Mapping[str, LineSeen]:
        assert at_ms >= NOW
        return {address: self.held[address] for address in addresses if address in self.held}


FEED = Feed({"192.0.2.1": LineSeen(line="L1", customer="C1"), "192.0.2.2": LineSeen(line="L2", customer="C2")})


def run(
    url: str, folder: Path, body: Callable[[FleetService], Awaitable[None]], feed: Feed | None = FEED, rules: Rules | None = None
) -> None:
    async def main() -> None:
        async with Database(url, name="test") as db:
            await body(FleetService(db, sealer(folder), feed, rules, lambda: NOW))

    asyncio.run(main())


def inform(serial: str, **changes: Any) -> InformSeen:
    device = DeviceId(manufacturer="AVM", oui="00040E", product_class="FRITZ", serial_number=serial)
    seen = InformSeen(
        device=device,
        peer_ip="192.0.2.1",
        lane=Lane.MANAGED,
        proof=Proof.DIGEST,
        proven_name=f"00040E-{serial}",
        events=(Event("2 PERIODIC", ""),),
        parameters=(
            ParameterValue(ROOT + "DeviceInfo.SoftwareVersion", "8.20"),
            ParameterValue(ROOT + "ManagementServer.ParameterKey", ""),
            ParameterValue(ROOT + "ManagementServer.Password", "planted-secret"),
        ),
        at_ms=NOW,
    )
    return replace(seen, **changes)


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def test_an_unknown_serial_on_a_known_line_waits_and_gets_nothing(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        (answer,) = await fleet.admit([inform("A1")])
        assert (answer.standing, answer.reason, answer.life) == (Standing.REPLACEMENT_PENDING, "unknown_on_line", Life.BOOTSTRAPPED)
        assert answer.work is None
        (again,) = await fleet.admit([inform("A1")])
        assert again.device_id == answer.device_id > 0

    run(database_url, tmp_path, body)
    assert ask(database_url, "select kind from fleet.outbox") == [("replacement_pending",)], "told once"


def test_without_a_feed_nobody_is_bound_unless_the_operator_says_so(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        (answer,) = await fleet.admit([inform("A1")])
        assert answer.standing is Standing.UNBOUND

    run(database_url, tmp_path, body, feed=None)
    ask(database_url, "update fleet.devices set line = 'L1' returning 1")

    async def still(fleet: FleetService) -> None:
        assert (await fleet.admit([inform("A1")]))[0].standing is Standing.UNBOUND

    async def released(fleet: FleetService) -> None:
        assert (await fleet.admit([inform("A1")]))[0].standing is Standing.MANAGED

    run(database_url, tmp_path, still, feed=None)
    run(database_url, tmp_path, released, feed=None, rules=Rules(release_without_feed=True))


def test_anothers_serial_with_ones_own_credential_is_refused_audited_and_leaves_no_trace_on_the_victim(
    database_url: str, tmp_path: Path
) -> None:
    async def body(fleet: FleetService) -> None:
        await fleet.admit([inform("VICTIM")])
        before = ask(database_url, "select last_inform_at, informs, peer_ip from fleet.presence")
        thief = inform("VICTIM", proven_name="00040E-THIEF", peer_ip="192.0.2.2", at_ms=NOW + 60_000)
        for _ in range(3):
            (answer,) = await fleet.admit([thief])
            assert (answer.standing, answer.reason, answer.work) == (Standing.REFUSED, "identity_mismatch", None)
        assert ask(database_url, "select last_inform_at, informs, peer_ip from fleet.presence") == before

    run(database_url, tmp_path, body)
    assert ask(database_url, "select proven_name, serial_number, times from fleet.refusals") == [("00040E-THIEF", "VICTIM", 3)]
    assert ask(database_url, "select count(*) from fleet.outbox where kind = 'refused'") == [(1,)], "announced once"


def test_a_credential_of_another_device_under_a_shared_name_leaves_no_trace_on_the_victim(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        (victim,) = await fleet.admit([inform("VICTIM")])
        before = ask(database_url, "select last_inform_at, informs, peer_ip from fleet.presence")
        thief = inform("VICTIM", proven_device=victim.device_id + 1, peer_ip="192.0.2.2", at_ms=NOW + 60_000)
        assert (await fleet.admit([thief]))[0].reason == "identity_mismatch"
        assert ask(database_url, "select last_inform_at, informs, peer_ip from fleet.presence") == before
        await fleet.admit([inform("VICTIM", proven_device=victim.device_id, at_ms=NOW + 60_000)])
        assert ask(database_url, "select informs from fleet.presence") == [(2,)], "the device itself counts"

    run(database_url, tmp_path, body)


def test_what_is_wanted_of_one_device_leaves_only_once_it_is_bound_and_then_even_if_it_settled_before(
    database_url: str, tmp_path: Path
) -> None:
    async def body(fleet: FleetService) -> None:
        (first,) = await fleet.admit([inform("A1", peer_ip="203.0.113.9")])
        ask(database_url, "update fleet.devices set line = 'L1', labels = '{trial}' returning 1")
        hosts = frozenset({"acs.example.net"})
        await fleet.want("anna", first.device_id, Wish(meaning="sip.username", value="4930123456"), hosts)
        await fleet.put_secret("anna", first.device_id, "sip.password", Secret("planted"))
        everybody = Wish(meaning="acs.inform_interval", value="3600")
        await fleet.put_group("anna", Group(name="trial", label="trial", wishes=(everybody,)), hosts)

        (unbound,) = await fleet.admit([inform("A1", peer_ip="203.0.113.9")])
        assert unbound.standing is Standing.UNBOUND
        assert unbound.work is not None
        assert [setting.name for setting in unbound.work.settings] == [ROOT + "ManagementServer.PeriodicInformInterval"]
        done = replace(unbound.work, accepted=frozenset(setting.name for setting in unbound.work.settings))
        await fleet.settle([SessionDone(device_id=first.device_id, session_id="s1", work=done, at_ms=NOW)])
        assert (await fleet.admit([inform("A1", peer_ip="203.0.113.9")]))[0].work is None, "settled as far as it may be"

        for _ in range(2):  # The second time stands for a session that was lost on its way.
            (bound,) = await fleet.admit([inform("A1")])
            assert bound.standing is Standing.MANAGED
            assert bound.work is not None
            names = [setting.name for setting in bound.work.settings]
            assert [name.rpartition(".")[2] for name in names] == ["PeriodicInformInterval", "AuthPassword", "AuthUserName"]

    run(database_url, tmp_path, body)


def test_a_batch_holds_new_known_and_repeated_devices(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        await fleet.admit([inform("OLD")])
        answers = await fleet.admit([inform("N1"), inform("OLD"), inform("N2"), inform("N1")])
        assert answers[0].device_id == answers[3].device_id
        assert len({answer.device_id for answer in answers}) == 3
        assert all(answer.device_id for answer in answers)

    run(database_url, tmp_path, body)
    assert ask(database_url, "select count(*) from fleet.devices") == [(3,)]


def test_reported_values_are_written_where_they_change_and_never_a_secret(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        await fleet.admit([inform("A1")])
        first = ask(database_url, "select name, value, reported_at, xmin::text from fleet.reported order by name")
        assert [name for name, *_ in first] == [ROOT + "DeviceInfo.SoftwareVersion", ROOT + "ManagementServer.ParameterKey"]
        await fleet.admit([inform("A1", at_ms=NOW + 1_000)])
        assert ask(database_url, "select name, value, reported_at, xmin::text from fleet.reported order by name") == first
        fresh = (ParameterValue(ROOT + "DeviceInfo.SoftwareVersion", "8.21"),)
        await fleet.admit([inform("A1", parameters=fresh, at_ms=NOW + 2_000)])

    run(database_url, tmp_path, body)
    assert ask(database_url, "select software_version from fleet.devices") == [("8.21",)]
    assert ask(database_url, "select old_value, new_value from fleet.history where kind = 'firmware'") == [("8.20", "8.21")]
    assert ask(database_url, "select count(*) from fleet.outbox where kind = 'firmware'") == [(1,)]
    everything = "select string_agg(t::text, '') from ({}) t"
    for table in ("reported", "history", "outbox", "devices", "presence"):
        assert "planted-secret" not in str(ask(database_url, everything.format(f"select * from fleet.{table}")))


@pytest.mark.parametrize(
    ("life", "standing"), [("replaced", Standing.REFUSED), ("lost", Standing.REPLACEMENT_PENDING), ("in_stock", Standing.STOCK)]
)
def test_a_closed_lost_or_shelved_device_gets_no_settings(database_url: str, tmp_path: Path, life: str, standing: Standing) -> None:
    async def body(fleet: FleetService) -> None:
        await fleet.admit([inform("A1")])
        ask(database_url, f"update fleet.devices set life = '{life}', line = 'L1' returning 1")
        (answer,) = await fleet.admit([inform("A1")])
        assert (answer.standing, answer.life, answer.work) == (standing, Life(life), None)

    run(database_url, tmp_path, body)


def test_a_credential_verifies_and_its_predecessor_ends(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        (answer,) = await fleet.admit([inform("A1")])
        assert await fleet.credential("00040E-A1") is None
        await fleet.put_credential(answer.device_id, "00040E-A1", Secret("ha1-first"))
        await fleet.put_credential(answer.device_id, "00040E-A1", Secret("ha1-second"))
        found = await fleet.credential("00040E-A1")
        assert found is not None
        assert found.ha1.equals("ha1-second")
        assert found.previous_ha1 is not None
        assert found.previous_ha1.equals("ha1-first")

    run(database_url, tmp_path, body)
    assert b"ha1-" not in ask(database_url, "select sealed_ha1 from fleet.credentials")[0][0]


def test_invented_devices_are_written_down_up_to_a_share_and_known_or_proven_ones_always(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService) -> None:
        await fleet.admit([inform("KNOWN", proof=Proof.NONE, proven_name="", peer_ip="203.0.113.9")])
        fleet = FleetService(
            fleet._db, sealer(tmp_path), None, None, lambda: NOW, strangers=Strangers(per_address=2, in_all=100, now_ms=NOW)
        )
        unproven = {"proof": Proof.NONE, "proven_name": "", "peer_ip": "203.0.113.9"}
        answers = await fleet.admit([inform(f"X{number}", **unproven) for number in range(5)])
        assert [answer.reason for answer in answers if answer.standing is Standing.REFUSED] == ["too_many_strangers"] * 3
        assert {answer.device_id for answer in answers if answer.standing is Standing.REFUSED} == {0}
        others = await fleet.admit([inform("KNOWN", **unproven), inform("PROVEN", peer_ip="203.0.113.9")])
        assert [answer.standing for answer in others] == [Standing.UNBOUND] * 2
        mismatched = [inform(f"Y{number}", proven_name="00040E-OTHER", peer_ip="203.0.113.10") for number in range(5)]
        assert {answer.standing for answer in await fleet.admit(mismatched)} == {Standing.REFUSED}

    run(database_url, tmp_path, body, None)
    assert ask(database_url, "select count(*) from fleet.devices") == [(4,)]
    assert ask(database_url, "select reason, count(*) from fleet.refusals group by 1") == [("identity_mismatch", 2)]

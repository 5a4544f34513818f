"""A Saturday night on real engines: ordinary calls, a stolen account calling Sierra Leone, dial-throughs, and names chosen to break pages.

Everything goes the product's own way: rows into the log, the detector's alerts, policy's blocks, people's orders. Run it by hand with
`python -m tests.harness.saturday` to look at the console in a browser; it prints where to go and ends with Ctrl-C.
"""

import asyncio
import io
import random
import sys
import time
from dataclasses import dataclass

import msgspec

from ringfence.access.model import Role
from ringfence.access.service import AccessService
from ringfence.base.clock import system_clock
from ringfence.base.secret import Secret
from ringfence.enforcement.agent import ask_policy
from ringfence.enforcement.commands import Exempt, ImposeBlock, LiftBlock
from ringfence.enforcement.model import HOUR_MS, EdgeReport, Scope
from ringfence.runtime.bus import Bus
from ringfence.runtime.db import Database
from ringfence.runtime.status import Status, status_subject
from ringfence.subscribers.service import SubscribersService
from ringfence.telephony.model import AccountRow
from tests.harness.product import KEY, Product, Wire

PASSWORD = "a quiet saturday night"
PEOPLE = {
    "anna": frozenset({Role.LEAD}),
    "ben": frozenset({Role.ANALYST}),
    "hotline": frozenset({Role.HOTLINE}),
    "root": frozenset({Role.ADMINISTRATOR}),
}
STOLEN = "4930901820417"
HOSTILE = "<script>alert(1)</script>"
HOSTILE_AGENT = '"><img src=x onerror=alert(1)>' + "A" * 180
SIERRA_LEONE = "+23276"


@dataclass
class Night:
    """What the seed made, for tests that look for it."""

    block_id: str = ""


async def people(url: str) -> None:
    """Everybody with the same password, changed as it must be."""
    async with Database(url, name="seed") as db:
        access = AccessService(db)
        first = await access.ensure_first_administrator("chief")
        assert first is not None
        session = await access.authenticate(first.name, first.password, "", "127.0.0.1")
        chief = (await access.change_password(session.actor, first.password, Secret(PASSWORD), "127.0.0.1")).actor
        for name, roles in PEOPLE.items():
            made = await access.add_user(chief, name, roles)
            signed = await access.authenticate(name, made.password, "", "127.0.0.1")
            await access.change_password(signed.actor, made.password, Secret(PASSWORD), "127.0.0.1")


async def customers(url: str) -> None:
    """Two hundred households and a few businesses."""
    lines = ["account,customer,segment,channels,since,own_device"]
    lines += [f"49309018{number:05d},K-{number:06d},residential,2,2019-04-01,no" for number in range(20300, 20500)]
    lines += [f"49305557{number:04d},B-{number:04d},business,8,2015-10-01,yes" for number in range(20)]
    async with Database(url, name="seed") as db:
        await SubscribersService(db, KEY).import_accounts("chief", io.BytesIO("\n".join(lines).encode()))


def ordinary(wire: Wire, now: int, chance: random.Random) -> list[AccountRow]:
    """A day of households calling each other."""
    rows: list[AccountRow] = []
    for _ in range(900):
        account = f"49309018{chance.randrange(20300, 20500):05d}"
        at = now - chance.randrange(60_000, 22 * HOUR_MS)
        seconds = chance.expovariate(1 / 140)
        rows += wire.call(account, f"+4930{chance.randrange(2_000_000, 9_999_999)}", at_ms=at, seconds=min(seconds, (now - at) / 1000 - 30))
    return sorted(rows, key=lambda row: row.at_ms)


def fraud(
    wire: Wire, account: str, now: int, *, calls: int, minutes: int, agent: str = "friendly-scanner", number: str = SIERRA_LEONE
) -> list[AccountRow]:
    """A stolen account: many dear calls at once, most of them still running."""
    rows: list[AccountRow] = []
    for place in range(calls):
        at = now - minutes * 60_000 + place * (minutes * 60_000 // calls)
        running = place % 5 != 2
        rows += wire.call(
            account,
            f"{number}{400100 + place * 37}",
            at_ms=at,
            country="SL",
            destination_class=4,
            euro_per_minute=0.42,
            answered_after_ms=3000,
            seconds=None if running else 40,
            status_code=200 if place % 7 else 486,
            user_agent=agent,
            source_ip="198.51.100.23",
        )
    return sorted((row for row in rows if row.at_ms <= now), key=lambda row: row.at_ms)


async def beats(bus: Bus, wire: Wire, seconds: float) -> None:
    """The parts that the seed plays: ingest, and the connector of three edges."""
    chance = random.Random(5)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = system_clock()
        await wire.beat(118 + 40 * chance.random())
        await wire.tick(now)
        await bus.announce(status_subject("edge"), msgspec.json.encode(Status(role="edge", instance="i-edge", at_ms=now)))
        for place, name in enumerate(("kamailio-1", "kamailio-2", "sbc-west")):
            report = EdgeReport(
                edge=name,
                at_ms=now,
                reachable=place < 2,
                unreachable_since_ms=now - 90_000 if place == 2 else 0,
                message="the connection was refused; is Kamailio running?" if place == 2 else "",
                agrees=place < 2,
                keys=7,
                waiting=0 if place < 2 else 7,
                last_full_check_ms=now - 12_000,
                repaired=place,
                refills=1,
                last_change_latency_ms=4.2 + place,
                include_version="1",
            )
            await bus.bucket("edges").put(name, msgspec.json.encode(report))
        await asyncio.sleep(1)


async def night(product: Product) -> Night:
    """Fill everything; about twenty seconds."""
    await people(product.database_url)
    await customers(product.database_url)
    made = Night()
    wire, bus = await Wire.connect(product), await product.nats.connect()
    try:
        chance, now = random.Random(7), system_clock()
        await wire.send(ordinary(wire, now, chance))
        await wire.tick(now - 60_000)
        await wire.send(fraud(wire, STOLEN, now, calls=26, minutes=9))
        await wire.send(fraud(wire, HOSTILE, now, calls=3, minutes=6, agent=HOSTILE_AGENT))
        await wire.send(fraud(wire, "493055570007", now, calls=7, minutes=12, agent="Asterisk PBX 18.2", number="+8821"))
        await wire.send(
            [
                row
                for number in range(3)
                for row in wire.call(STOLEN, f"{SIERRA_LEONE}40999{number}", at_ms=now - 2000 + number, blocked=True)
            ]
        )
        await beats(bus, wire, 6)
        made.block_id = await _orders(bus, now)
        await beats(bus, wire, 2)
    finally:
        await wire.close()
        await bus.close()
    return made


async def _orders(bus: Bus, now: int) -> str:
    """What people did in the evening."""
    scanner = ImposeBlock(
        scope=Scope.SOURCE, value="198.51.100.99", until_ms=now + 24 * HOUR_MS, reason="scans our extensions since 21:40", by="ben"
    )
    mass = ImposeBlock(
        scope=Scope.RANGE,
        value="23276",
        until_ms=now + 12 * HOUR_MS,
        reason="Sierra Leone mobile, the third account tonight",
        by="ben",
        subjects=140,
    )
    mistaken = ImposeBlock(scope=Scope.ACCOUNT, value="493090182031", until_ms=now + HOUR_MS, reason="looked like the same", by="ben")
    safe = Exempt(
        scope=Scope.ACCOUNT,
        value="493055570001",
        owner="anna",
        until_ms=now + 720 * HOUR_MS,
        reason="test lines of the field team",
        by="anna",
    )
    done = await ask_policy(bus, scanner)
    await ask_policy(bus, mass)
    lifted = await ask_policy(bus, mistaken)
    await ask_policy(bus, LiftBlock(block_id=lifted.block_id, reason="the customer confirmed these calls", by="anna"))
    await ask_policy(bus, safe)
    return done.block_id


async def _keep_beating(product: Product) -> None:
    wire, bus = await Wire.connect(product), await product.nats.connect()
    await beats(bus, wire, 86_400)


if __name__ == "__main__":
    with Product("worker", "policy", "detector", "console", "api") as running:
        asyncio.run(night(running))
        sys.stdout.write(f"console {running.console_url}\napi {running.api_url}\nsign in as anna, ben, hotline or root: {PASSWORD}\n")
        sys.stdout.flush()
        asyncio.run(_keep_beating(running))

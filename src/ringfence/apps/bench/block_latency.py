"""Bench `block-latency`: from the INVITE that crosses a threshold to the first 603 for its account, at a real Kamailio under load.

200 offenders among the accounts; sipp makes ordinary calls at `rate`. An offender sends an authenticated INVITE to a C4 destination every
10 ms, so the instant of the block is seen to 10 ms; the crossing INVITE is the one the suspicion names as its newest call. The clock
starts when that INVITE's transaction starts, the challenge included, and stops when the 603 has arrived. `missed`: no 603 within 5 s.
"""

import asyncio
import contextlib
import math
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringfence.base.clock import monotonic_seconds
from ringfence.base.ids import SLOTS, new_token
from ringfence.drills.product import Product, rehearsal_folder, running_product
from ringfence.runtime.bus import Bus
from ringfence.runtime.keys import HASH_KEY, read_key
from ringfence.simulators import load
from ringfence.simulators.caller import Caller, CallerLine
from ringfence.simulators.kamailio import DOMAIN, Authentication, RunningKamailio, find_kamailio, start_kamailio
from ringfence.telephony.control import AccountChanged, ControlRecord, encode_control
from ringfence.telephony.model import account_key_of, account_slot
from ringfence.telephony.suspicion import decode_suspicion

OPTIONS: dict[str, Any] = {"rate": 400, "seconds": 30, "offenders": 200, "accounts": 200_000}

PROBE_SECONDS = 0.010
MISSED_SECONDS = 5.0
SETTLE_SECONDS = 3.0
CALLERS = 20_000
"""Accounts that sipp calls from, in turn."""
REFUSED = 603


@dataclass(slots=True, kw_only=True)
class Offender:
    """One stolen account: when each of its calls began, which of them crossed, when the first refusal came."""

    account: str
    began: dict[str, float] = field(default_factory=dict)
    crossing: str = ""
    refused: float = 0.0
    known: asyncio.Event = field(default_factory=asyncio.Event)


def run(options: dict[str, Any]) -> dict[str, object]:
    """Measure; figures in milliseconds."""
    find_kamailio()
    load.find_sipp()
    with rehearsal_folder() as folder:
        return asyncio.run(_measure(folder, options))


async def _measure(folder: Path, options: dict[str, Any]) -> dict[str, object]:
    accounts = {f"4930{20_000_000 + number}": "pw" for number in range(options["accounts"])}
    names = list(accounts)
    offenders = [Offender(account=names[-1 - number]) for number in range(options["offenders"])]
    ports = _free_udp_ports(2)
    async with running_product(folder / "product", night=False) as product:
        with load.gateway(folder / "gateway", ports[0]) as gateway, _kamailio(folder, product, accounts, gateway) as kamailio:
            ordinary = load.Load(
                rate=options["rate"],
                seconds=options["seconds"] + int(SETTLE_SECONDS) * 2,
                accounts=[(name, "pw") for name in names[: min(CALLERS, len(names) - len(offenders))]],
                numbers=[f"0{area}{number:07d}" for number in range(1_000) for area in (30, 40, 89)],
            )
            await _know(product, names)
            with load.calls(folder / "calls", kamailio.sip_address, ports[1], ordinary) as running:
                await asyncio.sleep(SETTLE_SECONDS)
                await _offend(product, kamailio.sip_address, offenders, options["seconds"])
                successful, failed = await asyncio.to_thread(running.finish)
    return {**_figures(offenders), "calls": successful + failed + sum(len(o.began) for o in offenders), "ordinary_failed": failed}


def _kamailio(folder: Path, product: Product, accounts: dict[str, str], gateway: tuple[str, int]) -> RunningKamailio:
    return start_kamailio(
        folder / "kamailio",
        sip_port=product.ports.sip,
        settings=product.edge_settings,
        accounts=accounts,
        gateway=gateway,
        authentication=Authentication.ONE,
        shared_megabytes=512,
        package_megabytes=64,
    )


async def _know(product: Product, names: list[str]) -> None:
    """Give the product its list of accounts, on which the breaker's limit depends, as the worker would after an import."""
    key = read_key(product.settings.keys_dir / HASH_KEY).open().encode()
    slots: list[list[ControlRecord]] = [[] for _ in range(SLOTS)]
    for name in names:
        account_key = account_key_of(key, name, keyed=True)
        slot = account_slot(account_key)
        slots[slot].append(AccountChanged(account=name, account_key=account_key, slot=slot))
    bus = await product.bus()
    try:
        bucket = bus.bucket("control")
        for slot, records in enumerate(slots):
            await bucket.put(f"accounts.{slot}", encode_control(records))
    finally:
        await bus.close()
    await asyncio.sleep(SETTLE_SECONDS)


async def _offend(product: Product, proxy: tuple[str, int], offenders: list[Offender], seconds: int) -> None:
    bus = await product.bus()
    lines = [await CallerLine.open(proxy) for _ in range(8)]
    try:
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(_watch(bus, {offender.account: offender for offender in offenders}))
            for place, offender in enumerate(offenders):
                begin = place * seconds / len(offenders)
                caller = Caller(lines[place % 8], offender.account, "pw", DOMAIN)
                group.create_task(_calls(caller, offender, begin, f"+23278{place:03d}"))
            await asyncio.sleep(seconds + 2 * MISSED_SECONDS)
            watch.cancel()
    finally:
        for line in lines:
            line.close()
        await bus.close()


async def _watch(bus: Bus, offenders: dict[str, Offender]) -> None:
    """The first suspicion about each offender, with the call that crossed."""
    async for message in bus.read("SUSPICIONS", from_sequence=1):
        suspicion = decode_suspicion(message.payload)
        offender = offenders.get(suspicion.account)
        if offender is not None and not offender.crossing and suspicion.calls:
            offender.crossing = suspicion.calls[-1]
            offender.known.set()


async def _calls(caller: Caller, offender: Offender, begin: float, numbers: str) -> None:
    """An INVITE every 10 ms from `begin` on, until one is refused or five seconds have passed since the crossing is known.

    Each offender has a range of numbers for itself: one that many call is blocked for all, and nothing would be left to measure.
    """
    await asyncio.sleep(begin)
    deadline = monotonic_seconds() + 2 * MISSED_SECONDS
    async with asyncio.TaskGroup() as group:
        number = 0
        while not offender.refused and monotonic_seconds() < deadline:
            group.create_task(_one(caller, offender, f"{numbers}{number % 5:03d}"))
            number += 1
            await asyncio.sleep(PROBE_SECONDS)


async def _one(caller: Caller, offender: Offender, number: str) -> None:
    call_id = new_token()
    offender.began[call_id] = monotonic_seconds()
    call = await caller.invite(number, call_id=call_id)
    if call.answer.status_code == REFUSED:
        offender.refused = offender.refused or monotonic_seconds()
    elif call.answer.status_code == 200:
        await call.hang_up()


def _figures(offenders: list[Offender]) -> dict[str, object]:
    latencies = []
    for offender in offenders:
        began = offender.began.get(offender.crossing)
        if began is not None and offender.refused and offender.refused - began <= MISSED_SECONDS:
            latencies.append((offender.refused - began) * 1000)
    latencies.sort()

    def quantile(share: float) -> float | None:
        return round(latencies[max(math.ceil(share * len(latencies)) - 1, 0)], 1) if latencies else None

    return {
        "p50_ms": quantile(0.5),
        "p99_ms": quantile(0.99),
        "max_ms": quantile(1.0),
        "refused": len(latencies),
        "missed": len(offenders) - len(latencies),
    }


def _free_udp_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]

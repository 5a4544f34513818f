"""Bench `hep`: SIP messages a second that a real ingest process takes from one UDP source port (or one TCP connection), and what it loses.

A mix of calls (INVITE, 100, 180, 200, ACK, BYE, 200) with four registration refreshes each, with the key and the verdict events of our
include; only SIP messages are counted, the verdict events come on top. Rows go to a real NATS. With `rate` 0 the highest rate without
a loss is searched first. Sender and NATS share the machine's cores with ingest.
"""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ringfence.base.clock import monotonic_seconds
from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.drills.product import EDGE, Product, rehearsal_folder, running_product
from ringfence.runtime.bus import Bus
from ringfence.runtime.keys import read_key
from ringfence.runtime.status import Status, status_subject
from ringfence.simulators.capture import Agent, Mix, Template, mixed_stream

OPTIONS: dict[str, Any] = {"rate": 0, "seconds": 20, "transport": "udp"}

SIP_OF_PACKETS = 15 / 20
"""Of twenty packets of the mix fifteen are SIP."""
SEARCH_RATES = (5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 35_000, 40_000, 50_000, 60_000, 80_000)
SEARCH_SECONDS = 4.0
MARGIN = 0.95
"""The counted run goes at this share of the highest rate that lost nothing in the search."""
SLICE_SECONDS = 0.002
SETTLE_SECONDS = 3.0

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

Stream = Iterator[tuple[Template, bytes, bytes, bytes]]


def run(options: dict[str, Any]) -> dict[str, object]:
    """Measure. OperatorError for another transport than udp and tcp."""
    if options["transport"] not in {"udp", "tcp"}:
        raise OperatorError("The transport is udp or tcp.", reason="bad_option")
    with rehearsal_folder() as folder:
        return asyncio.run(_measure(folder, options))


async def _measure(folder: Path, options: dict[str, Any]) -> dict[str, object]:
    async with running_product(folder / "product", roles=("ingest",), night=False) as product:
        bus = await product.bus()
        agent = Agent(key=read_key(product.settings.keys_dir / f"agent-{EDGE}.key"), edge=EDGE)
        stream = mixed_stream(agent, Mix())
        kind = socket.SOCK_DGRAM if options["transport"] == "udp" else socket.SOCK_STREAM
        try:
            with socket.socket(socket.AF_INET, kind) as sender:
                sender.connect(("127.0.0.1", product.ports.hep))
                rate = options["rate"] or await _search(bus, product, sender, stream)
                return await _counted(bus, product, sender, stream, rate, options["seconds"])
        finally:
            await bus.close()


async def _search(bus: Bus, product: Product, sender: socket.socket, stream: Stream) -> float:
    best = float(SEARCH_RATES[0])
    for rate in SEARCH_RATES:
        figures = await _counted(bus, product, sender, stream, rate, SEARCH_SECONDS)
        sys.stderr.write(f"{rate} messages/s asked, {figures['messages_per_second']} reached, {figures['lost']} lost\n")
        if figures["lost"] or float(figures["messages_per_second"]) < rate * MARGIN:
            break
        best = rate
    return best * MARGIN


async def _counted(bus: Bus, product: Product, sender: socket.socket, stream: Stream, rate: float, seconds: float) -> dict[str, Any]:
    """One run at a rate of SIP messages; what was lost anywhere between the sender's socket and the pipeline."""
    before = await _taken(bus, settled=True)
    cpu = _cpu_seconds(product)
    sent, elapsed, sender_cpu = await asyncio.to_thread(_send, sender, stream, rate / SIP_OF_PACKETS, seconds)
    await _until_taken(bus, before + sent)
    after = await _taken(bus, settled=True)
    lost = sent - (after - before)
    return {
        "messages_per_second": round((sent - lost) * SIP_OF_PACKETS / elapsed),
        "lost": round(lost),
        "cpu_seconds": round(_cpu_seconds(product) - cpu, 2),
        "cpu_microseconds_per_message": round((_cpu_seconds(product) - cpu) * 1e6 / (sent * SIP_OF_PACKETS), 1),
        "sender_cpu_seconds": round(sender_cpu, 2),
        "memory_mib": round(_memory_bytes(product) / 2**20),
    }


def _send(sender: socket.socket, stream: Stream, packets_per_second: float, seconds: float) -> tuple[int, float, float]:
    """Send in slices of two milliseconds; packets sent, seconds it took, seconds of CPU it took."""
    started, cpu = monotonic_seconds(), time.thread_time()
    sent, total = 0, int(packets_per_second * seconds)
    while sent < total:
        due = min(int((monotonic_seconds() - started) * packets_per_second) + 1, total)
        at_us = time.clock_gettime_ns(time.CLOCK_REALTIME) // 1_000
        while sent < due:
            template, token, account, number = next(stream)
            sender.sendall(template.fill(at_us, token, account, number))
            sent += 1
        time.sleep(SLICE_SECONDS)
    return sent, monotonic_seconds() - started, time.thread_time() - cpu


async def _taken(bus: Bus, *, settled: bool) -> float:
    """Packets the pipeline has taken, from the next heartbeat; with `settled`, when two heartbeats in a row agree."""
    previous = -1.0
    async with asyncio.timeout(30):
        async for message in bus.listen(status_subject("ingest")):
            figures = msgspec.json.decode(message.payload, type=Status).figures
            taken = figures.get("messages_total", -1.0)
            if taken >= 0 and (not settled or taken == previous):
                return taken
            previous = taken
    raise UnavailableError("ingest sends no heartbeat", reason="no_heartbeat")


async def _until_taken(bus: Bus, target: float) -> None:
    deadline = monotonic_seconds() + SETTLE_SECONDS
    while monotonic_seconds() < deadline and await _taken(bus, settled=False) < target:
        pass


def _cpu_seconds(product: Product) -> float:
    """User and system time of the ingest process so far."""
    fields = (_process(product) / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_bytes(product: Product) -> int:
    """Resident memory of the ingest process."""
    return int((_process(product) / "statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES


def _process(product: Product) -> Path:
    pid = int((product.folder / "run" / "ingest.ready").read_text())
    return Path(f"/proc/{pid}")

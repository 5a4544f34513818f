"""Hostile input at the running ingest, from an address that is believed: random and mutated datagrams, invented names and addresses, at a
rate that it can follow. It stays alive, its memory is bounded, every packet is counted, and a fraud is blocked afterwards.

The gate plays a small version; `make soak` plays a million.
"""

import asyncio
import random
from collections.abc import Callable, Iterator

import pytest

from ringfence.base.clock import system_clock
from ringfence.protocols.hep import Family, HepPacket, PayloadType, encode
from ringfence.simulators.capture import Agent, Template, call_templates, registration_templates
from ringfence.telephony.hlog import HlogEvent, encode_event
from tests.scenarios.stage import Stage, eventually, open_stage

pytestmark = [pytest.mark.peer("kamailio"), pytest.mark.timeout(300)]

PORTION = 50
PER_SECOND = 5_000
MEMORY_BYTES = 250_000_000
"""What ingest may grow by; its tables are bounded far below what a million strangers would need."""
Make = Callable[["Hostile"], bytes]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage(tapped=True) as stage:
        yield stage


class Hostile:
    """Makes hostile datagrams out of a seed."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.chance = random.Random(seed)
        self.key = stage.hep_key
        self.number = 0
        agent = Agent(key=self.key)
        self._templates: tuple[Template, ...] = (*call_templates(agent), *registration_templates(agent))

    def valid(self) -> bytes:
        """A packet of an ordinary call or registration of an invented account."""
        self.number += 1
        account, token = b"%012d" % (self.number * 7919 % 10**12), b"%016d" % self.number
        return self.chance.choice(self._templates).fill(system_clock() * 1000, token, account, b"4989%08d" % (self.number % 10**8))

    def mutated(self) -> bytes:
        """A valid packet with some bytes changed, dropped, doubled or cut."""
        data, chance = bytearray(self.valid()), self.chance
        for _ in range(chance.randrange(1, 6)):
            place = chance.randrange(len(data))
            match chance.randrange(5):
                case 0:
                    data[place] = chance.randrange(256)
                case 1:
                    del data[place : place + chance.randrange(1, 40)]
                case 2:
                    data[place:place] = data[place : place + chance.randrange(1, 400)]
                case 3:
                    data[place:place] = chance.choice((b"\r\n", b"\0", b"\xff" * 9, b"Via: ", b"%s%n", b"{" * 40, b"\r\n\r\n"))
                case _:
                    del data[place:]
            data = data or bytearray(b"\0")
        return bytes(data)

    def noise(self) -> bytes:
        """Random bytes, some of them behind a good header."""
        body = self.chance.randbytes(self.chance.randrange(1, 1400))
        return body if self.number % 2 else b"HEP3" + len(body).to_bytes(2) + body

    def stranger(self) -> bytes:
        """An INVITE of an invented name from an invented address, or the edge's word that its password was wrong."""
        self.number += 1
        name, address = f"invented-{self.number}", ".".join(str(self.chance.randrange(1, 255)) for _ in range(4))
        now_ms = system_clock()
        if self.number % 2:
            invite = (
                f"INVITE sip:+23278{self.number % 10**6:06d}@edge.test SIP/2.0\r\nVia: SIP/2.0/UDP {address}:5060;branch=z9hG4bK{self.number}\r\n"
                f"From: <sip:{name}@edge.test>;tag={self.number}\r\nTo: <sip:+23278000000@edge.test>\r\nCall-ID: {self.number}@{address}\r\n"
                f"CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            ).encode()
            return self._packet(invite, address, PayloadType.SIP, now_ms)
        told = HlogEvent(
            v=1,
            event="auth",
            edge="kamailio-1",
            at_s=now_ms // 1000,
            at_us=0,
            call_id=f"{self.number}@{address}",
            from_tag=str(self.number),
            cseq=2,
            method=self.chance.choice(("INVITE", "REGISTER")),
            account=name,
            code=self.chance.choice((-2, -3, -8)),
            peer_ip=address,
            peer_port=5060,
            request_uri="sip:+23278000000@edge.test",
        )
        return self._packet(encode_event(told), address, PayloadType.LOG, now_ms)

    def _packet(self, payload: bytes, address: str, kind: PayloadType, now_ms: int) -> bytes:
        return encode(
            HepPacket(
                family=Family.IPV4,
                transport=17,
                source_ip=address,
                source_port=5060,
                destination_ip="192.0.2.1",
                destination_port=5060,
                seconds=now_ms // 1000,
                microseconds=0,
                payload_type=kind,
                payload=payload,
                capture_id=1,
                auth_key=self.key,
            )
        )


FLOODS: dict[str, Make] = {"mutated": Hostile.mutated, "noise": Hostile.noise, "strangers": Hostile.stranger}


async def flood(stage: Stage, make: Make, count: int) -> None:
    """Send `count` datagrams at a rate that ingest follows."""
    hostile = Hostile(stage, seed=count)
    for _ in range(count // PORTION):
        for _ in range(PORTION):
            stage.tap.send(make(hostile))
        await asyncio.sleep(PORTION / PER_SECOND)


async def survive(stage: Stage, make: Make, count: int) -> None:
    pid, before = stage.pid("ingest"), await stage.figures("ingest")
    await flood(stage, make, count)

    async def all_read() -> bool:
        figures = await stage.figures("ingest")
        arrived = figures["datagrams_total"] + figures["lost_total"] - before["datagrams_total"] - before["lost_total"]
        return arrived >= count // PORTION * PORTION

    await eventually(all_read, "ingest has read the flood")
    await stage.judged()
    after = await stage.figures("ingest")
    grown = {name: value - before.get(name, 0.0) for name, value in after.items()}
    refused = sum(value for name, value in grown.items() if name.startswith("refused_"))
    assert stage.pid("ingest") == pid, "it did not die"
    assert grown["memory_bytes"] < MEMORY_BYTES
    assert grown["datagrams_total"] > count / 2, "else most were lost before they were read"
    assert refused >= grown["datagrams_total"] - grown["messages_total"], "what became no message was counted by reason"


@pytest.mark.parametrize("kind", FLOODS)
def test_ingest_survives_a_flood_and_a_fraud_is_blocked_afterwards(stage: Stage, kind: str) -> None:
    stage.run(survive(stage, FLOODS[kind], 20_000))


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("kind", FLOODS)
def test_ingest_survives_a_million(stage: Stage, kind: str) -> None:
    stage.run(survive(stage, FLOODS[kind], 1_000_000))

"""What the network and an agent's clock do to HEP changes no verdict: twice, from two capture points, late, an hour off.

The same two calls are made on each wire. One call must be one call, two must be two, and alerts and blocks are those of a straight wire.
"""

import random
import time
from collections.abc import Iterable, Iterator

import msgspec
import pytest

from ringfence.protocols.hep import decode, encode
from tests.scenarios.stage import Bend, Stage, eventually, open_stage, straight

pytestmark = [pytest.mark.peer("kamailio"), pytest.mark.timeout(300)]

HOUR_SECONDS = 3_600
LATE_SECONDS = 1.2


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage(tapped=True) as stage:
        yield stage


def twice(datagram: bytes) -> Iterable[tuple[float, bytes]]:
    """The network doubles every datagram."""
    return ((0.0, datagram), (0.0, datagram))


def two_capture_points(datagram: bytes) -> Iterable[tuple[float, bytes]]:
    """Another probe sees the same, has another id and a clock that is behind."""
    packet = decode(datagram)
    return ((0.0, datagram), (0.03, encode(msgspec.structs.replace(packet, capture_id=2, seconds=packet.seconds - 3))))


def late(chance: random.Random) -> Bend:
    """A congested line: every packet waits, up to 1.2 seconds, behind those before it."""
    free_at = 0.0

    def bend(datagram: bytes) -> Iterable[tuple[float, bytes]]:
        nonlocal free_at
        now = time.monotonic()
        free_at = max(free_at, now + chance.uniform(0.0, LATE_SECONDS))
        return ((free_at - now, datagram),)

    return bend


def clock_off(seconds: int) -> Bend:
    """The agent's clock is off from now on."""

    def bend(datagram: bytes) -> Iterable[tuple[float, bytes]]:
        packet = decode(datagram)
        return ((0.0, encode(msgspec.structs.replace(packet, seconds=packet.seconds + seconds))),)

    return bend


Told = list[tuple[str, str, str, object]]


async def two_calls(stage: Stage, *bends: Bend) -> tuple[Told, Told, list[tuple[str, str, int]]]:
    """Alerts after one call, alerts after two, and blocks. The bends follow each other, one for each step of the story."""
    account, steps = stage.account(), list(bends)

    def next_bend() -> None:
        stage.tap.bend = steps.pop(0) if len(steps) > 1 else steps[0]

    async def told() -> Told:
        alerts = await stage.alerts(account)
        # What was measured in euro depends on the seconds between the calls.
        shown = [
            (a.rule, a.state, a.severity, a.evidence.observed["value"] if a.evidence.observed["unit"] != "euro" else None) for a in alerts
        ]
        return sorted(shown, key=repr)

    try:
        caller = await stage.caller(account)
        next_bend()
        first = await caller.invite(stage.expensive_number())

        async def warned() -> bool:
            return {"D01", "D07"} <= {rule for rule, *_ in await told()}

        await eventually(warned, "the first call opens alerts, one by its INVITE and one by its answer")
        next_bend()
        await stage.judged()
        one = await told()
        assert await stage.suspicions(account) == [], "one call is no fraud, however often it is seen"
        next_bend()
        second = await caller.invite(stage.expensive_number())
        assert [first.answer.status_code, second.answer.status_code] == [200, 200]

        async def held() -> str:
            return stage.at_edge(f"a:{account}")

        await eventually(held, "two calls are a fraud")
        next_bend()
        await stage.judged()
        two = await told()
        blocks = sorted((block.scope.value, block.origin, block.destination_class) for block in await stage.blocks(account))
        evidence = {call_id for suspicion in await stage.suspicions(account) for call_id in suspicion.calls}
        assert evidence == {first.call_id, second.call_id}
        await first.hang_up()
        await second.hang_up()
    finally:
        stage.tap.bend = straight
    return one, two, blocks


@pytest.fixture(scope="module")
def unbent(stage: Stage) -> tuple[Told, Told, list[tuple[str, str, int]]]:
    return stage.run(two_calls(stage, straight))


WIRES = {
    "twice": (twice,),
    "two_capture_points": (two_capture_points,),
    "late": (late(random.Random(8)),),
    "an_hour_ahead_and_back": (straight, clock_off(HOUR_SECONDS), clock_off(HOUR_SECONDS), straight),
    "an_hour_behind_and_back": (straight, clock_off(-HOUR_SECONDS), clock_off(-HOUR_SECONDS), straight),
    "back_between_the_calls": (clock_off(HOUR_SECONDS), clock_off(HOUR_SECONDS), clock_off(-HOUR_SECONDS), straight),
}


@pytest.mark.parametrize("wire", WIRES)
def test_alerts_and_blocks_are_those_of_a_straight_wire(
    stage: Stage, unbent: tuple[Told, Told, list[tuple[str, str, int]]], wire: str
) -> None:
    one, two, blocks = unbent
    assert ("D07", "open", "warning", 1) in one
    assert ("D07", "update", "critical", 2) in two
    assert stage.run(two_calls(stage, *WIRES[wire])) == (one, two, blocks)

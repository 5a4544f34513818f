"""The queue of devices to wake and the credentials that wake them, on a real PostgreSQL."""

import asyncio
import hashlib
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from ringfence.base.secret import Secret
from ringfence.fleet.binding import Rules
from ringfence.fleet.model import SessionDone, Standing
from ringfence.fleet.service import FleetService
from ringfence.fleet.session import answered, next_request
from ringfence.fleet.waking.service import PASSWORD, STUN_USERNAME, USERNAME, WAKE_AGAIN_MS, Making
from ringfence.protocols.cwmp.messages import (
    GetParameterValues,
    GetParameterValuesResponse,
    ParameterValue,
    SetParameterValues,
    SetParameterValuesResponse,
)
from ringfence.runtime.db import Database
from tests.integration.fleet.test_admit import FEED, NOW, ROOT, ask, inform, sealer


@dataclass
class At:
    """A clock that is set."""

    ms: int = NOW

    def __call__(self) -> int:
        return self.ms


class Chance:
    """Bytes that repeat from run to run, each call other ones."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, size: int) -> bytes:
        self.calls += 1
        return hashlib.blake2b(str(self.calls).encode(), digest_size=size).digest()


def run(url: str, folder: Path, body: Callable[[FleetService, At], Awaitable[None]], making: Making | None = None) -> None:
    async def main() -> None:
        at = At()
        async with Database(url, name="test") as db:
            rules = Rules(trust_unproven=True)
            await body(FleetService(db, sealer(folder), FEED, rules, at, making), at)

    asyncio.run(main())


def history(url: str, device_id: int) -> list[tuple[str, str, str]]:
    query = f"select name, new_value, person from fleet.history where kind = 'wake' and device_id = {device_id} order by entry_id"
    return [(str(name), str(new), str(person)) for name, new, person in ask(url, query)]


def test_an_inform_after_the_wish_takes_a_device_out_of_the_queue(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService, at: At) -> None:
        (seen,) = await fleet.admit([inform("A1")])
        device = seen.device_id
        at.ms += 1_000
        await fleet.want_awake("anna", device)
        await fleet.want_awake("anna", device)
        assert [(one.device_id, one.tries) for one in await fleet.sleepers(10)] == [(device, 1)]
        assert await fleet.sleepers(10) == (), "it is taken"
        await fleet.awake([device])
        at.ms += WAKE_AGAIN_MS
        assert [one.tries for one in await fleet.sleepers(10)] == [2], "it has not informed, whatever somebody says"
        await fleet.admit([inform("A1", at_ms=at.ms)])
        await fleet.want_awake("berta", device)
        assert [one.tries for one in await fleet.sleepers(10)] == [1], "a wish after the Inform is a new one"
        await fleet.admit([inform("A1", at_ms=at.ms + 1)])
        at.ms += WAKE_AGAIN_MS
        assert await fleet.sleepers(10) == ()
        at.ms += WAKE_AGAIN_MS
        assert await fleet.sleepers(10) == ()
        assert ask(database_url, "select count(*) from fleet.wake_queue") == [(0,)]
        assert history(database_url, device) == [("asked", "", "anna"), ("asked", "", "berta")]

    run(database_url, tmp_path, body)


def test_a_try_that_was_none_is_put_back_and_who_is_given_up_says_why(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService, at: At) -> None:
        (seen,) = await fleet.admit([inform("A1")])
        at.ms += 1_000
        await fleet.want_awake("anna", seen.device_id)
        assert [one.tries for one in await fleet.sleepers(10)] == [1]
        await fleet.put_back([seen.device_id], at.ms + 500)
        assert await fleet.sleepers(10) == ()
        at.ms += 500
        assert [one.tries for one in await fleet.sleepers(10)] == [1]
        await fleet.give_up([(seen.device_id, "unreachable")])
        at.ms += 10 * WAKE_AGAIN_MS
        assert await fleet.sleepers(10) == ()
        assert history(database_url, seen.device_id) == [("asked", "", "anna"), ("given_up", "unreachable", "")]

    run(database_url, tmp_path, body)


def test_two_processes_never_take_the_same_sleeper(database_url: str, tmp_path: Path) -> None:
    async def body(fleet: FleetService, at: At) -> None:
        seen = await fleet.admit([inform(f"S{number}", peer_ip="198.51.100.1") for number in range(40)])
        at.ms += 1_000
        for one in seen:
            await fleet.want_awake("anna", one.device_id)
        async with Database(database_url, name="other") as db:
            other = FleetService(db, sealer(tmp_path), FEED, None, at)
            taken = await asyncio.gather(*(each.sleepers(7) for each in (fleet, other) for _ in range(6)))
        devices = [one.device_id for some in taken for one in some]
        assert len(devices) == len(set(devices))
        rest = [one.device_id for _ in range(10) for one in await fleet.sleepers(7)]
        assert sorted(devices + rest) == sorted(one.device_id for one in seen)

    run(database_url, tmp_path, body)


async def settle(fleet: FleetService, serial: str) -> dict[str, str]:
    """A session of a device that takes whatever it is told; what it was told."""
    (admitted,) = await fleet.admit([inform(serial)])
    work, told = admitted.work, dict[str, str]()
    while work is not None and (request := next_request(work)) is not None:
        match request:
            case GetParameterValues(names=names):
                values = tuple(ParameterValue(name, "") for name in names)
                work = answered(work, request, GetParameterValuesResponse(values))
            case SetParameterValues(parameters=parameters):
                told |= {parameter.name.removeprefix(ROOT): parameter.value for parameter in parameters}
                work = answered(work, request, SetParameterValuesResponse(0))
            case _:
                raise AssertionError(request)
    await fleet.settle([SessionDone(device_id=admitted.device_id, session_id=f"s-{serial}", work=work, at_ms=NOW)])
    return told


def test_a_device_that_becomes_managed_is_given_a_credential_of_its_own(database_url: str, tmp_path: Path) -> None:
    chance = Chance()

    async def body(fleet: FleetService, _at: At) -> None:
        sheet = "oui,product_class,serial_number,state,line,customer\n00040E,FRITZ,A1,shipped,L1,C1\n"
        await fleet.import_devices("anna", io.StringIO(sheet))
        (admitted,) = await fleet.admit([inform("A1")])
        assert admitted.standing is Standing.MANAGED
        device = admitted.device_id
        credential = (await fleet.request_credentials([device]))[device]
        assert credential.username.startswith(f"rf-{device}-")
        assert len(credential.password.open()) >= 24
        told = await settle(fleet, "A1")
        assert told["ManagementServer.ConnectionRequestUsername"] == credential.username
        assert credential.password.equals(told["ManagementServer.ConnectionRequestPassword"])
        assert "ManagementServer.STUNPassword" in told
        assert chance.calls == 4, "made once"
        own = {wish.meaning: wish.value for wish in (await fleet.wanted(device)).own}
        assert own.keys() == {USERNAME, STUN_USERNAME}
        shown = repr(await fleet.history(device)) + repr(await fleet.reported(device)) + repr(credential)
        assert credential.password.open() not in shown
        # A person's own one stays.
        await fleet.put_secret("anna", device, PASSWORD, Secret("chosen"))
        await settle(fleet, "A1")
        assert (await fleet.request_credentials([device]))[device].password.equals("chosen")
        assert chance.calls == 4

    run(database_url, tmp_path, body, Making(random_bytes=chance, stun=True))


def test_who_is_not_managed_gets_no_credential(database_url: str, tmp_path: Path) -> None:
    chance = Chance()

    async def body(fleet: FleetService, _at: At) -> None:
        (admitted,) = await fleet.admit([inform("X1", peer_ip="198.51.100.1")])
        assert admitted.standing is not Standing.MANAGED
        assert await fleet.request_credentials([admitted.device_id]) == {}
        assert chance.calls == 0

    run(database_url, tmp_path, body, Making(random_bytes=chance))

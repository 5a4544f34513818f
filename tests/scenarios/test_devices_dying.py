"""kill -9 of the ACS and of PostgreSQL while every device of a fleet has an order: none is sent as the same attempt twice, none is forgotten.

Simulated devices sign in by Digest and carry out what they are told; what each was told is written down as it arrives. The supervisor starts
what was killed. At the end the devices' own account is held against the database's. The gate plays a small fleet, `make soak` 3,000 devices.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ringfence.base.clock import system_clock
from ringfence.drills.product import Product, rehearsal_folder, running_product
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.catalogue.adapters import ImageStore
from ringfence.fleet.model import REALM, DownloadFirmware, InformSeen, Lane, Order, Proof
from ringfence.fleet.service import FleetService
from ringfence.protocols.cwmp.messages import FactoryReset, Reboot, ScheduleInform
from ringfence.protocols.digest import ha1_of
from ringfence.runtime.db import Database
from ringfence.simulators.devices import answers
from ringfence.simulators.devices.behaviour import Behaviour
from ringfence.simulators.devices.device import Device, Power
from ringfence.simulators.devices.images import make_image
from ringfence.simulators.devices.tree import Model
from ringfence.simulators.devices.world import World, WorldSettings
from tests.harness.engines import free_port
from tests.scenarios.stage import eventually

SEED = 7
SCALE = 60.0
"""Simulated seconds in a real one: a boot takes 1 to 2.5 seconds, the first retry 0.1."""
AT_ONCE = 48
ROUNDS = 8
"""Deadlines and pauses that pass before every order must be done."""
REBOOT, SCHEDULE = Reboot(), ScheduleInform(60)


class Told:
    """What each device was told, as it arrived."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys: Counter[tuple[int, str]] = Counter()
        self.resets: Counter[int] = Counter()
        self.asked = 0
        answer = answers.answer

        def heard(device: Device, request: Any) -> Any:
            self.asked += 1
            if isinstance(request, FactoryReset):
                self.resets[device.index] += 1
            elif key := getattr(request, "command_key", ""):
                self.keys[device.index, key] += 1
            return answer(device, request)

        monkeypatch.setattr("ringfence.simulators.devices.session.answer", heard)


@pytest.fixture
def folder() -> Iterator[Path]:
    with rehearsal_folder() as folder:
        yield folder


def order_of(index: int, image: DownloadFirmware) -> Order:
    """A quarter loads a file (devices of one model have even numbers), a quarter informs at a time, the others restart."""
    return image if index % 4 == 2 else SCHEDULE if index % 4 == 3 else REBOOT


async def add_image(product: Product, fleet: FleetService, model: Model) -> DownloadFirmware:
    """A file for one of the models, at the host that the ACS runs itself."""
    incoming = ImageStore(product.settings.firmware_dir).receive("2.0.0.image")
    incoming.write(make_image(model.product_class, "2.0.0", 20_000))
    file = await fleet.add_firmware(
        "anna",
        incoming,
        oui=model.oui,
        product_class=model.product_class,
        version="2.0.0",
        file_name="2.0.0.image",
        signature="vendor_checked",
    )
    return DownloadFirmware(sha256=file.sha256)


async def provide(product: Product, world: World) -> dict[int, int]:
    """Make every device known, give it a credential and want an order of it; index -> device id."""
    async with Database(product.settings.database, name="test") as db:
        fleet = FleetService(db, Sealer(FileKeys(product.settings.keys_dir / FLEET_KEY)), None)
        ids: dict[int, int] = {}
        for start in range(0, len(world.devices), 64):
            part = world.devices[start : start + 64]
            seen = [
                InformSeen(device=device.identity, peer_ip="127.0.0.1", lane=Lane.MANAGED, proof=Proof.NONE, at_ms=system_clock())
                for device in part
            ]
            ids |= {device.index: one.device_id for device, one in zip(part, await fleet.admit(seen), strict=True)}
        image = await add_image(product, fleet, world.settings.models[0])
        waiting = iter(world.devices)

        async def give() -> None:
            for device in waiting:
                name, password = device.login()
                await fleet.put_credential(ids[device.index], name, ha1_of(username=name, realm=REALM, password=password))
                await fleet.want_order("anna", ids[device.index], order_of(device.index, image))

        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(give())
    return ids


def ask(product: Product, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(product.settings.database) as connection:
        return connection.execute(query.encode()).fetchall()


def kill(product: Product, name: str) -> None:
    """kill -9 of a role or an engine, if it runs."""
    try:
        os.kill(int((product.settings.run_dir / f"{name}.pid").read_text().split()[0]), signal.SIGKILL)
    except (OSError, ValueError, IndexError):
        return


async def storm(product: Product, world: World, told: Told, victims: list[str]) -> None:
    """Kill one after the other, each after so many further requests of the ACS, at a moment nobody chose."""
    chance = random.Random(SEED)
    share = max(4, len(world.devices) // (len(victims) + 1))
    for victim in victims:
        mark = told.asked + chance.randrange(share // 2, share)
        deadline = time.monotonic() + 60
        while told.asked < mark and time.monotonic() < deadline:
            await asyncio.sleep(0.002)
        kill(product, victim)


async def settled(product: Product) -> bool:
    """Whether nothing waits but for a pause, and nothing is committed whose fate is not known."""
    try:
        rows = await asyncio.to_thread(
            ask,
            product,
            "select count(*) from fleet.wanted_orders w where (state = 'waiting' and not_before_at < now() + interval '1 min') or (state = 'given' and not exists"
            " (select from fleet.orders o where o.wanted_id = w.wanted_id and o.state = 'started'))",
        )
    except psycopg.OperationalError:
        return False
    return rows == [(0,)]


async def play(folder: Path, told: Told, count: int, victims: list[str], seconds: float) -> None:
    host = f"127.0.0.1:{free_port()}"
    acs = f'authentication = "digest"\n\n[acs]\nsessions = 2000\n\n[acs.firmware]\nurl = "http://{host}"\nlisten = "{host}"\n'
    async with running_product(folder / "product", roles=("acs",), night=False, acs=acs) as product:
        settings = WorldSettings(
            acs=f"http://127.0.0.1:{product.ports.acs}/acs",
            devices=count,
            seed=SEED,
            scale=SCALE,
            spread=True,
            sessions=AT_ONCE,
            behaviour=Behaviour(first_inform_seconds=(0.0, count / 2)),
        )
        world = World(settings)
        ids = await provide(product, world)
        began = time.monotonic()
        world.start_all()
        try:
            await storm(product, world, told, victims)
            stormed = time.monotonic() - began
            sys.stdout.write(f"{len(victims)} deaths in {stormed:.1f} s\n")
            waited: set[int] = set()
            for _ in range(ROUNDS):
                await eventually(lambda: settled(product), "every order has left and is known", seconds=seconds)
                assert await world.wait(rested, seconds), "whoever was told to restart has"
                still = await let_time_pass(product, world, ids)
                waited |= still
                if not still:
                    break
        finally:
            await world.close()
        compare(product, told, ids)
        attempts = ask(product, "select state, count(*) from fleet.orders group by 1 order by 1")
        sys.stdout.write(
            f"{count} devices, {len(victims)} deaths in {stormed:.1f} s, all done after {time.monotonic() - began:.1f} s: attempts"
            f" {dict(attempts)}, {len(waited)} had to wait; sessions {world.counters['sessions']},"
            f" failed {world.counters['session_failures']}, files loaded {world.counters['downloads']}, commands received {sum(told.keys.values())}\n"
        )


def rested(world: World) -> bool:
    return all(device.power is Power.UP for device in world.devices)


async def let_time_pass(product: Product, world: World, ids: dict[int, int]) -> set[int]:
    """What a device accepted and did not do, because its session died, or what failed with the host: deadlines and pauses pass, and it informs.

    Returns the devices that were waited for.
    """
    with psycopg.connect(product.settings.database) as connection:
        rows = connection.execute(
            "update fleet.orders set deadline_at = now() - interval '1 s' where state = 'started' returning device_id"
        )
        still = {row[0] for row in rows.fetchall()}
        rows = connection.execute("update fleet.wanted_orders set not_before_at = now() where state = 'waiting' returning device_id")
        still |= {row[0] for row in rows.fetchall()}
    async with Database(product.settings.database, name="test") as db:
        fleet = FleetService(db, Sealer(FileKeys(product.settings.keys_dir / FLEET_KEY)), None)
        await fleet.reconcile(len(ids) + 1)
    for device in world.devices:
        if ids[device.index] in still:
            device.wake("2 PERIODIC")
    return still


def compare(product: Product, told: Told, ids: dict[int, int]) -> None:
    """The devices' account against the database's."""
    assert max(told.keys.values()) == 1, "no attempt is told twice"
    assert len({key for _, key in told.keys}) == len(told.keys), "no two devices are told the same"
    rows = ask(
        product,
        "select command_key, device_id, method, attempt, state, committed_at, changed_at from fleet.orders order by device_id, purpose, attempt",
    )
    known = {row[0]: row[1] for row in rows}
    assert {key: ids[index] for index, key in told.keys}.items() <= known.items(), "what was sent was committed before, for this device"
    for before, after in pairwise(rows):
        if (before[1], before[2]) == (after[1], after[2]):
            assert after[3] == before[3] + 1, "attempts are numbered without a gap"
            assert before[4] in {"unknown", "failed", "done"}, "no attempt while one is open"
            # One that was given up and is told of later is believed; its row is of a later moment then.
            assert before[6] <= after[5] or before[4] == "done", "the one before was given up first"
        else:
            assert after[3] == 1
    received = {ids[index] for index, _ in told.keys}
    assert received == set(ids.values()), "every device was told"
    wanted = ask(product, "select distinct state from fleet.wanted_orders")
    assert wanted == [("done",)], ask(
        product, "select device_id, method, state, fault_code, detail from fleet.orders where state <> 'done'"
    )
    done = {row[1] for row in rows if row[4] == "done"}
    assert done == set(ids.values())
    assert {row[0] for row in rows if row[4] == "done"} <= {key for _, key in told.keys}, "nothing is done that no device was told"


@pytest.mark.timeout(240)
def test_no_order_is_told_twice_and_none_is_forgotten_whichever_process_dies(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(play(folder, Told(monkeypatch), 120, ["acs", "postgres", "acs"], 90.0))


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_three_thousand_devices_while_the_acs_dies_six_times(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(play(folder, Told(monkeypatch), 3_000, ["acs", "acs", "postgres", "acs", "acs", "acs", "acs"], 900.0))

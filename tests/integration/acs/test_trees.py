"""Trees of real devices, served by the simulator and read whole by the ACS: in small batches, without exhausting the device.

The devices refuse more than 64 values or names at once (9004), as a Cisco 867 does. What the ACS then knows is compared with the tree itself.
"""

import io
import time
from functools import partial
from pathlib import Path

import pytest

from ringfence.fleet.binding import Rules
from ringfence.fleet.meanings import is_secret
from ringfence.simulators.devices.behaviour import Behaviour, Oddity
from ringfence.simulators.devices.models import built_in, read_model
from ringfence.simulators.devices.tree import Model
from ringfence.simulators.devices.world import World, WorldSettings
from tests.integration.acs.test_sessions import PATIENCE, Acs, ask, run

TRUSTING = Rules(trust_unproven=True, release_without_feed=True)
WEAK = Behaviour(boot_seconds=(0.0, 0.0), first_inform_seconds=(0.0, 0.0), oddities=(Oddity.SMALL_READS,))
MAX_SESSIONS = 60
HEADER = "oui,product_class,serial_number,state,line"


def more_than(done: int, world: World) -> bool:
    return world.counters["sessions_done"] > done


async def read_whole(acs: Acs, model: Model, seed: int = 1) -> dict[str, object]:
    """A device's tree in the ACS is its tree, and it was never asked for too much. Figures about it."""
    settings = WorldSettings(acs=f"http://127.0.0.1:{acs.port}/acs", devices=1, models=(model,), behaviour=WEAK, seed=seed)
    world = World(settings)
    (device,) = world.devices
    try:
        who = device.identity
        await acs.fleet.import_devices(
            "anna", io.StringIO(f"{HEADER}\n{who.oui},{who.product_class},{who.serial_number},shipped,L{seed}\n")
        )
        world.start_all()
        assert await world.wait(lambda world: world.counters["sessions_done"] >= 1)
        device_id = ask(acs.url, f"select device_id from fleet.devices where serial_number = '{who.serial_number}'")[0][0]
        await acs.fleet.discover(device_id)
        before, began = dict(world.counters), time.monotonic()
        while ask(acs.url, f"select 1 from fleet.discoveries where device_id = {device_id}"):
            done = world.counters["sessions_done"]
            assert done < MAX_SESSIONS, "the tree has no end"
            device.wake("2 PERIODIC")
            assert await world.wait(partial(more_than, done), PATIENCE)
        seconds = time.monotonic() - began
        assert world.counters["faults"] == 0
        assert world.counters["session_failures"] == 0
    finally:
        await world.close()
    held = dict(ask(acs.url, f"select name, value from fleet.reported where device_id = {device_id}"))
    leaves = [name for name in model.leaves if not is_secret(name)]
    assert {name: held.get(name) for name in leaves} == {name: device.tree.value(name) for name in leaves}
    assert not [name for name in held if is_secret(name)]
    return {
        "tree": model.product_class,
        "parameters": len(model.leaves),
        "secret": len(model.leaves) - len(leaves),
        "objects": len(model.objects),
        "sessions": world.counters["sessions_done"] - before["sessions_done"],
        "requests": world.counters["requests"] - before.get("requests", 0),
        "seconds": round(seconds, 1),
    }


def test_the_made_up_models_are_read_whole(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        for seed, model in enumerate(built_in()):
            assert (await read_whole(acs, model, seed))["sessions"] == 1

    run(database_url, tmp_path, body, rules=TRUSTING)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("huawei-bm632w", 741),
        ("huawei-eg8145v5-voip", 1400),
        ("intelbras-w5-2100g", 593),
        ("tplink-ex220", 4236),
        ("tplink-xx230v", 5352),
        ("zte-h199a", 1457),
    ],
)
def test_a_real_devices_tree_is_read_whole(database_url: str, tmp_path: Path, shared_data: Path, name: str, parameters: int) -> None:
    async def body(acs: Acs) -> None:
        found = await read_whole(acs, read_model(shared_data / "devices" / f"{name}.csv"))
        assert found["parameters"] == parameters
        print(found)

    run(database_url, tmp_path, body, rules=TRUSTING)
